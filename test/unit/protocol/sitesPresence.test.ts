/** Questions and answers between a site and the supernode: they come back as they were, and nothing else is taken for one. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { presenceWaitSecondsMax } from "../../../src/limits.ts";
import { announcedKey } from "../../../src/protocol/presence.ts";
import {
  readSitesAnswer,
  readSitesQuestion,
  writeAnswer,
  writeQuestion,
  writeRefusal,
} from "../../../src/protocol/sitesPresence.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 });

describe("a question", () => {
  it("comes back as it was, for every group that can be announced", () => {
    const groups = fc.record({ instrument: name, group: name, snap: fc.nat(), detector: name });
    fc.assert(
      fc.property(groups, fc.nat(presenceWaitSecondsMax * 1_000), (group, waitMs) => {
        const key = announcedKey(group);
        fc.pre(key !== null);
        expect(readSitesQuestion(bytes(writeQuestion({ key: key ?? "", waitMs })))).toEqual({ key, waitMs });
      }),
    );
  });

  it.each([
    ["", "nothing"],
    ["{", "no JSON"],
    ["[]", "a list"],
    ["null", "null"],
    [`{"key":"a.b.0"}`, "too few parts"],
    [`{"key":"a.b.0.c.d"}`, "too many parts"],
    [`{"key":"a.b.x.c"}`, "a snap that is no number"],
    [`{"key":"a.*.0.>"}`, "wildcards"],
    [`{"key":"a. b.0.c"}`, "a space"],
    [`{"key":"a.b.0.c","waitMs":-1}`, "a wait below 0"],
    [`{"key":"a.b.0.c","waitMs":${presenceWaitSecondsMax * 1_000 + 1}}`, "a wait that is too long"],
    [`{"key":"a.b.0.c","waitMs":"1"}`, "a wait that is a text"],
    [`{"key":7}`, "a number"],
  ])("is not %s (%s)", (text) => {
    expect(readSitesQuestion(bytes(text))).toBeNull();
  });

  it("of a newer version is understood by what is known of it", () => {
    expect(readSitesQuestion(bytes(`{"v":2,"key":"a.b.0.c","more":{"x":1}}`))).toEqual({
      key: "a.b.0.c",
      waitMs: 0,
    });
  });
});

describe("an answer", () => {
  it("comes back as it was", () => {
    const found = fc.option(fc.record({ site: name, uri: fc.string({ unit: "grapheme" }) }));
    fc.assert(
      fc.property(fc.record({ found, unheard: fc.array(name) }), (answer) => {
        expect(readSitesAnswer(bytes(writeAnswer(answer)))).toEqual(answer);
      }),
    );
    expect(readSitesAnswer(bytes(writeRefusal("not so")))).toBe("not so");
  });

  it.each([
    "",
    "{}",
    `{"found":null}`,
    `{"found":{"site":"a"},"unheard":[]}`,
    `{"found":null,"unheard":[1]}`,
    "7",
  ])("is not %s", (text) => {
    expect(readSitesAnswer(bytes(text))).toBeNull();
  });
});

it("no bytes are more than refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (data) => {
      expect(readSitesQuestion(data)).toBeNull();
      expect(readSitesAnswer(data)).toBeNull();
    }),
  );
});
