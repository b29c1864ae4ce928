import { expect, it } from "vitest";
import { NomadApi } from "../../../src/drivers/nomadApi.ts";

it("a token file that cannot be read is told of, and nothing is asked without it", async () => {
  const api = new NomadApi({
    address: "http://127.0.0.1:1",
    namespace: "default",
    tokenFile: "/nowhere/at/all",
  });
  await expect(api.dispatched("run", "a")).rejects.toThrow(
    /list the jobs of run: its token file cannot be read: .*\/nowhere\/at\/all/,
  );
});
