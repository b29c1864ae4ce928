import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ObjectMissing } from "../../../src/storage/errors.ts";
import { call } from "../../../src/storage/Storage.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const uri = (): string => "file:///a";
const missing = (): ObjectMissing => new ObjectMissing({ uri: uri() });

test("an answer leaves no timer behind", async () => {
  expect(await Effect.runPromise(call("read", uri, async () => 7, missing, 1_000))).toBe(7);
  expect(vi.getTimerCount()).toBe(0);
});

test("a failure is said in the caller's words, and leaves no timer behind", async () => {
  const failing = call("read", uri, () => Promise.reject(new Error("ENOENT")), missing, 1_000);
  expect(await Effect.runPromise(Effect.flip(failing))).toMatchObject({ _tag: "ObjectMissing" });
  expect(vi.getTimerCount()).toBe(0);
});

test("no answer within the deadline is a store that is away, and is told to what runs; what comes later changes nothing", async () => {
  let stopped = false;
  let answer: (value: number) => void = () => undefined;
  const hanging = call(
    "read",
    uri,
    ({ signal }) => {
      signal.addEventListener("abort", () => void (stopped = true));
      return new Promise<number>((resolve) => void (answer = resolve));
    },
    missing,
    1_000,
  );
  const fiber = Effect.runFork(Effect.flip(hanging));
  vi.advanceTimersByTime(999);
  expect(stopped).toBe(false);
  vi.advanceTimersByTime(1);
  expect(stopped).toBe(true);
  answer(7);
  expect(await Effect.runPromise(Fiber.join(fiber))).toMatchObject({
    _tag: "StorageUnavailable",
    operation: "read",
    uri: "file:///a",
    detail: "no answer within 1000 ms",
  });
});

test("who is interrupted waits no longer, and what runs is told", async () => {
  let stopped = false;
  const fiber = Effect.runFork(
    call(
      "read",
      uri,
      ({ signal }) => {
        signal.addEventListener("abort", () => void (stopped = true));
        return new Promise<never>(() => undefined);
      },
      missing,
      1_000,
    ),
  );
  await Effect.runPromise(Fiber.interrupt(fiber));
  expect(stopped).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("a fault in saying what failed is a defect, and hangs nobody", async () => {
  const broken = call(
    "read",
    uri,
    () => Promise.reject(new Error("x")),
    (): ObjectMissing => {
      throw new TypeError("a defect");
    },
    1_000,
  );
  const exit = await Effect.runPromiseExit(broken);
  expect(Exit.isFailure(exit) && Cause.hasDies(exit.cause)).toBe(true);
});
