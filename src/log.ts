/** The log of a node: JSON lines for machines, or one short line for people. Always on stderr; stdout is for answers. */
import { pino } from "pino";
import type { Log, LogLevel } from "./actors/NodeContext.ts";

export interface LogSettings {
  readonly level: LogLevel;
  readonly format: "json" | "pretty";
}

const order: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50 };

/** What came from outside stays within its line, and moves no cursor. */
const oneLine = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, (letter) => {
    const code = letter.charCodeAt(0).toString(16).padStart(4, "0");
    return letter === "\n" ? "\\n" : `\\u${code}`;
  });

function prettyLine(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): string {
  const time = new Date().toISOString().slice(11, 23);
  const rest = Object.entries(fields)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ");
  return `${time} ${level.padEnd(5)} ${oneLine(`${message}${rest === "" ? "" : `  ${rest}`}`)}\n`;
}

/** A field that stands in every line is said of the node: where a line speaks of another site or node, it does so as `ofSite`, `ofNode`. */
function besides(
  base: Readonly<Record<string, unknown>>,
  fields: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  if (!Object.keys(fields).some((name) => Object.hasOwn(base, name))) return fields;
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => {
      if (!Object.hasOwn(base, name)) return [[name, value]];
      return base[name] === value ? [] : [[`of${name[0]?.toUpperCase()}${name.slice(1)}`, value]];
    }),
  );
}

/** @param base fields that stand in every line: the site and the node */
export function makeLog(
  settings: LogSettings,
  base: Readonly<Record<string, unknown>>,
  write: (text: string) => void = (text) => process.stderr.write(text),
): Log {
  if (settings.format === "pretty") {
    return (level, message, fields = {}) => {
      if (order[level] >= order[settings.level]) write(prettyLine(level, message, besides(base, fields)));
    };
  }
  const logger = pino({ level: settings.level, base, timestamp: pino.stdTimeFunctions.isoTime }, { write });
  return (level, message, fields = {}) => logger[level](besides(base, fields), message);
}
