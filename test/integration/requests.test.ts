/** Requests on core NATS: what one of them does to whoever serves it is nobody else's business. */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { expect, it } from "vitest";
import { serve } from "../../src/jetstream/requests.ts";
import { startNats } from "../support/nats.ts";

it("a request that its server fails on is answered so, and the connection goes on hearing", async () => {
  const server = await startNats({ topology: null });
  const scope = Scope.makeUnsafe();
  try {
    const serving = await server.connect("serving");
    const options = {
      subjects: ["ask"],
      queue: null,
      each: (request: { readonly data: Uint8Array; readonly respond: (text: string) => boolean }): void => {
        if (request.data.length === 0) throw new Error("nothing was asked");
        request.respond("well");
      },
    };
    await Effect.runPromise(Scope.provide(serve(serving, options), scope));
    const ask = (text: string) => server.nats.connection.request("ask", text, { timeout: 5_000 });
    const failed = await ask("");
    expect(failed.json()).toEqual({
      error: true,
      message: "this question failed: Error: nothing was asked",
    });
    expect(failed.headers?.get("Nats-Service-Error-Code")).toBe("500");
    expect((await ask("how")).string()).toBe("well");
    expect(serving.link().reconnects).toBe(0);
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void));
    await server.stop();
  }
});
