/** One file at several places: one input, whichever copy came first, and whichever goes. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ContentTag, Place } from "../../../src/jobs/places.ts";
import { isSameContent, Places } from "../../../src/jobs/places.ts";

const name = "imap_swe_l1a_sci_20260310_v001.0001.cdf";
const tag = (etag: string, more: Partial<ContentTag> = {}): ContentTag => ({
  etag,
  digest: null,
  size: 10,
  ...more,
});
const place = (site: string | null, of: ContentTag): Place => ({
  site,
  record: `file.imap.20260310.${name}`,
  bucket: "imap",
  key: name,
  uri: `file:///${site ?? "own"}/${name}`,
  file: {
    name,
    content: of.etag,
    kind: "science",
    dataset: "swe/l1a/sci",
    range: { start: 0, end: 1 },
    pointing: null,
    version: { legacy: false, major: 1, minor: 1 },
  },
  ...of,
});

const md5 = (letter: string): string => letter.repeat(32);

describe("content is the same", () => {
  it.each([
    ["equal tags", tag("a-1"), tag("a-1"), true],
    ["other sizes", tag("a-1"), tag("b-1", { size: 11 }), false],
    [
      "equal digests, whatever a sender said of the size",
      tag("a", { digest: "d" }),
      tag("b", { digest: "d", size: 1 }),
      true,
    ],
    ["other digests", tag("a", { digest: "d" }), tag("b", { digest: "e" }), false],
    ["two MD5s that differ", tag(md5("a")), tag(md5("b")), false],
    ["tags that say nothing of each other", tag(md5("a")), tag("x-y-z"), true],
    ["no size known", tag("a-1", { size: null }), tag("b-1"), true],
  ])("%s", (_words, a, b, same) => {
    expect([isSameContent(a, b), isSameContent(b, a)]).toEqual([same, same]);
  });
});

describe("a file at several places", () => {
  it("is one, with the own site's place first, and keeps the tag under which it was taken", () => {
    const places = new Places();
    places.put(place("summit", tag("theirs", { digest: "d" })));
    places.took(name, { site: "summit", ...tag("theirs", { digest: "d" }) });
    places.put(place(null, tag("ours", { digest: "d" })));
    const both = places.standing(name);
    expect(both?.places.map(({ site }) => site)).toEqual([null, "summit"]);
    expect([both?.file.content, both?.others]).toEqual(["theirs", []]);
    // The one that was taken goes: the other is the same still.
    expect(places.drop(name, "summit")).toBe(true);
    expect(places.standing(name)?.file.content).toBe("theirs");
    expect(places.drop(name, null)).toBe(true);
    expect(places.standing(name)).toBe(null);
    expect(places.drop(name, null)).toBe(false);
  });

  it("goes by the own site's tag where nobody took another", () => {
    const places = new Places();
    places.put(place("summit", tag("theirs", { digest: "d" })));
    expect(places.standing(name)?.file.content).toBe("theirs");
    places.put(place(null, tag("ours", { digest: "d" })));
    expect(places.standing(name)?.file.content).toBe("ours");
  });

  it("is another one once its own site has other content, whatever was taken before", () => {
    const places = new Places();
    places.put(place(null, tag("one")));
    places.took(name, { site: null, ...tag("one") });
    places.put(place(null, tag("two")));
    expect(places.standing(name)?.file.content).toBe("two");
  });

  it("with different content is the own site's, else that of the site whose name comes first; the others are told", () => {
    const places = new Places();
    places.put(place("tucson", tag(md5("b"))));
    places.put(place("summit", tag(md5("a"))));
    const without = places.standing(name);
    expect([without?.file.content, without?.others.map(({ site }) => site)]).toEqual([md5("a"), ["tucson"]]);
    places.put(place(null, tag(md5("b"))));
    const own = places.standing(name);
    expect([own?.file.content, own?.others.map(({ site }) => site)]).toEqual([md5("b"), ["summit"]]);
    expect(own?.places.map(({ site }) => site)).toEqual([null, "tucson"]);
  });

  it("stands as it does in whatever order its places and runs were told", () => {
    const sites = [null, "base", "summit", "tucson"] as const;
    const tags = fc.record({
      etag: fc.constantFrom("p", "q", md5("a"), md5("b")),
      digest: fc.constantFrom(null, "d", "e"),
      size: fc.constantFrom(null, 10, 11),
    });
    const told = fc.record({
      places: fc.array(fc.tuple(fc.constantFrom(...sites), tags), { maxLength: 4 }),
      taken: fc.array(fc.tuple(fc.constantFrom(...sites), tags), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(told, fc.infiniteStream(fc.nat()), (all, draw) => {
        const last = [...new Map(all.places)];
        const steps = [
          ...last.map(
            ([site, of]) =>
              (places: Places) =>
                places.put(place(site, of)),
          ),
          ...all.taken.map(
            ([site, of]) =>
              (places: Places) =>
                places.took(name, { site, ...of }),
          ),
        ];
        const [forth, mixed] = [new Places(), new Places()];
        for (const step of steps) step(forth);
        const order = steps
          .map((step) => ({ step, at: draw.next().value ?? 0 }))
          .toSorted((a, b) => a.at - b.at);
        for (const { step } of order) step(mixed);
        expect(mixed.standing(name)).toEqual(forth.standing(name));
      }),
    );
  });
});
