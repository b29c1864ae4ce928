/** What files that come or go would change, told before they do. */
import type { PreviewAnswer } from "../protocol/operatorQuestions.ts";
import type { IoService } from "./Io.ts";
import { say, tell } from "./Io.ts";
import { table } from "./table.ts";
import { count, harmless, plural } from "./words.ts";

const rowsMax = 40;
const changesMax = 10;

export function sayPreview(io: IoService, answer: PreviewAnswer): void {
  for (const { name, why } of answer.leftOut) tell(io, `${harmless(name)} is left out: ${why}`);
  const changed = answer.counts.reduce((sum, one) => sum + one.partitions, 0);
  if (changed === 0) say(io, `Nothing would change (${plural(answer.touched, "partition")} looked at).`);
  else {
    io.out.write(
      table(
        [
          { title: "JOB" },
          { title: "IS" },
          { title: "BECOMES" },
          { title: "PARTITIONS", right: true },
          { title: "WHICH", give: 30 },
        ],
        answer.counts
          .slice(0, rowsMax)
          .map(({ job, before, after, partitions }) => [
            job,
            before,
            after,
            count(partitions),
            namesOf(answer, job, before, after),
          ]),
        { color: io.out.color, columns: io.out.columns() },
      ),
    );
    if (answer.counts.length > rowsMax)
      say(io, `… and ${answer.counts.length - rowsMax} more rows: --json has all`);
    const blocked = answer.changes.filter((one) => one.words.length > 0);
    for (const { job, partition, words } of blocked.slice(0, changesMax)) {
      say(io, `  ${job} ${partition} would wait: ${harmless(words.join("; "))}`);
    }
    if (blocked.length > changesMax) say(io, `  … and ${count(blocked.length - changesMax)} more`);
    say(io, `${plural(changed, "partition")} would change.`);
  }
  if (answer.downstream.length > 0) {
    const all = answer.downstream.reduce((sum, one) => sum + one.partitions, 0);
    const some = answer.downstream.slice(0, 6).map((one) => `${one.job} (${count(one.partitions)})`);
    const more = answer.downstream.length > 6 ? `, and ${answer.downstream.length - 6} more jobs` : "";
    say(io, `And may follow, being made of these: ${plural(all, "partition")} of ${some.join(", ")}${more}.`);
  }
  if (answer.looked < answer.touched) {
    tell(
      io,
      `${count(answer.touched - answer.looked)} partitions that these files can touch were not looked at`,
    );
  }
  if (answer.undecided > 0) {
    tell(io, `${plural(answer.undecided, "partition")} were still being decided on: ask again to be sure`);
  }
}

function namesOf({ changes }: PreviewAnswer, job: string, before: string, after: string): string {
  const names = changes
    .filter((one) => one.job === job && one.before === before && one.after === after)
    .map((one) => one.partition)
    .sort();
  const [first = ""] = names;
  return names.length <= 3 ? names.join(", ") : `${first} … ${names.at(-1) ?? ""}`;
}
