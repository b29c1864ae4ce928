// A claims actor in twenty lines: it is given items in batches, and says of each what became of it.
// Run it: `node main.mjs`; it sends itself three items, shows their records and stops. With `--stay` it goes on, and
// `npx orrery send word-count ID '{"text":"…"}' --site site.yaml` sends it more.
import { Actor, runNode } from "orrery";

const wordCount = Actor.claims({
  name: "word-count",
  work: (items) =>
    items.map(({ body }) => {
      const { text } = Object(body);
      if (typeof text !== "string") return Actor.park("NoText", "the item has no text to count");
      return Actor.done({ words: text.split(/\s+/).filter(Boolean).length });
    }),
});

const node = await runNode({ site: new URL("site.yaml", import.meta.url).pathname, actors: [wordCount] });
await node.send("word-count", "first", { text: "the night sky" });
await node.send("word-count", "first", { text: "the night sky" }); // the same again: done once
await node.send("word-count", "second", { text: "" });
await node.send("word-count", "third", { texd: "a typing error" });
for (const id of ["first", "second", "third"]) {
  const record = await node.settled("word-count", id);
  console.log(id, record.state, record.result ?? record.reason);
}
if (!process.argv.includes("--stay")) await node.stop();
