import { describe, expect, it } from "vitest";
import type { HclBody } from "./hclTree.ts";
import { readTree } from "./hclTree.ts";

/** Every block and attribute with its line, as text. */
function lines(body: HclBody, path: ReadonlyArray<string> = []): ReadonlyArray<string> {
  return [
    ...[...body.attributes].flatMap(([name, { line, fields }]) => [
      `${[...path, name].join(".")} ${line}`,
      ...[...fields].map(([field, below]) => `${[...path, name, field].join(".")} ${below.line}`),
    ]),
    ...body.blocks.flatMap((block) => {
      const at = [...path, [block.type, ...block.labels].join(" ")];
      return [`${at.join(".")} ${block.line}`, ...lines(block.body, at)];
    }),
  ];
}

describe("the lines of an HCL file", () => {
  it("of blocks, attributes and the keys of objects", () => {
    const text = `# a comment { with = braces
site = {
  name = "summit" # "quoted" {
  "two words" : [
    1, 2, # { not counted
  ],
  nodes = { a = 1, b = 2 }
}

/* over
   lines = 1 { */
job "one" {
  group "g" {
    port "x" { static = 4222 }
    // a comment
    count = max(
      1,
      2
    )
  }
}
last = 1`;
    expect(lines(readTree(text))).toEqual([
      "site 2",
      "site.name 3",
      "site.two words 4",
      "site.nodes 7",
      "last 22",
      "job one 12",
      "job one.group g 13",
      "job one.group g.count 16",
      "job one.group g.port x 14",
      "job one.group g.port x.static 14",
    ]);
  });

  it("after strings with templates, escapes and heredocs", () => {
    const text = `a = "x \${join(", ", [for h in y : "tls://\${h}:1 }"])} \\" { $\${z} %%{"
b = <<-CONF
  nested { brace
  \${"quoted }"}
  CONFused = not the end
CONF
c = [for x in y : x if x != "}"]
d = {for k, v in m : k => v}
e = <<X
X
f "l" unquoted {
}
g = 1
`;
    expect(lines(readTree(text))).toEqual(["a 1", "b 2", "c 7", "d 8", "e 9", "g 13", "f l unquoted 11"]);
  });

  it("with the text of each expression", () => {
    const { attributes } = readTree('a = "x" # not this\nb = [\n  1,\n]\n');
    expect([...attributes.values()].map(({ text }) => text)).toEqual(['"x"', "[\n  1,\n]"]);
  });

  it.each(['a = "x', "a = <<X\n", "block {", "= 1", 'a = "${b"'])("throws where it is no HCL: %s", (text) => {
    expect(() => readTree(text)).toThrow(/^line \d+: /);
  });
});
