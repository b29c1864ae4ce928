/** The kinds of value that a site file is made of, each with the fix it offers when it is refused. */
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as SchemaIssue from "effect/SchemaIssue";
import * as SchemaTransformation from "effect/SchemaTransformation";
import { formatDuration, formatSize, parseDuration, parseSize } from "./quantity.ts";
import { referencePattern } from "./references.ts";

/**
 * Where the file's form is another than the decoded one, the annotations belong to the file's. Rebuild is the same
 * schema with other annotations, which the types of Schema cannot say.
 */
const described = <S extends Schema.Top>(
  schema: S,
  annotations: { readonly description: string; readonly default?: S["Encoded"] },
): S =>
  (schema.ast.encoding === undefined
    ? schema.annotate(annotations)
    : Schema.annotateEncoded<S>(annotations)(schema)) as S;

/** A key that may be left out; `value` is what it then is, in the form of the file. */
export const optional = <S extends Schema.Top>(schema: S, value: S["Encoded"], description: string) =>
  described(schema, { description, default: value }).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(value)),
  );

export const required = <S extends Schema.Top>(schema: S, description: string): S =>
  described(schema, { description });

/** A value that is refused, with its fix; decode.ts reads `fix` from the annotations. */
const refused = (message: string, fix: string): SchemaIssue.Issue =>
  new SchemaIssue.InvalidValue({ message, fix });

export const Text = Schema.String.check(
  Schema.isMinLength(1, {
    message: "is empty",
    fix: "write text, in quotes where it looks like a number, or remove the key",
  }),
).annotate({ expected: "text" });

export const wholeNumber = (minimum: number, maximum: number, why = "") => {
  const said = {
    expected: `a whole number from ${minimum} to ${maximum}`,
    message: `must be a whole number from ${minimum} to ${maximum}${why}`,
    fix: `write a number from ${minimum} to ${maximum}`,
  };
  return Schema.Number.check(Schema.isInt(said), Schema.isBetween({ minimum, maximum }, said));
};

const durationFix = "write a number and a unit: 250 ms, 5 s, 10 min, 1 h, 7 days";

/** A duration in milliseconds within bounds, written `5 s`. */
export const duration = (minimum: number, maximum: number) =>
  Schema.String.annotate({ fix: durationFix, expected: "a duration such as 5 s" }).pipe(
    Schema.decodeTo(
      Schema.Number,
      SchemaTransformation.transformEffect({
        decode: (text: string) => {
          const ms = parseDuration(text);
          if (ms === null) return Effect.fail(refused("is no duration", durationFix));
          if (ms >= minimum && ms <= maximum) return Effect.succeed(ms);
          const bounds = `from ${formatDuration(minimum)} to ${formatDuration(maximum)}`;
          return Effect.fail(refused(`must be ${bounds}`, `write a duration ${bounds}`));
        },
        encode: (ms: number) => Effect.succeed(formatDuration(ms)),
      }),
    ),
  );

const sizeFix = "write a number and a unit: 512 KiB, 8 MiB";

export const size = (minimum: number, maximum: number) =>
  Schema.String.annotate({ fix: sizeFix, expected: "a size such as 8 MiB" }).pipe(
    Schema.decodeTo(
      Schema.Number,
      SchemaTransformation.transformEffect({
        decode: (text: string) => {
          const bytes = parseSize(text);
          if (bytes === null) return Effect.fail(refused("is no size", sizeFix));
          if (bytes >= minimum && bytes <= maximum) return Effect.succeed(bytes);
          const bounds = `from ${formatSize(minimum)} to ${formatSize(maximum)}`;
          return Effect.fail(refused(`must be ${bounds}`, `write a size ${bounds}`));
        },
        encode: (bytes: number) => Effect.succeed(formatSize(bytes)),
      }),
    ),
  );

// Flag u: a needless or mistyped escape is an error instead of silently another character. Never g or y: they keep state.
export const Pattern = Schema.String.annotate({
  fix: "put the pattern in single quotes",
  expected: "a regular expression",
}).pipe(
  Schema.decodeTo(
    Schema.RegExp,
    SchemaTransformation.transformEffect({
      decode: (source: string) => {
        try {
          return Effect.succeed(new RegExp(source, "u"));
        } catch (error) {
          return Effect.fail(refused(patternFault(source, error), patternFix(source)));
        }
      },
      encode: (pattern: RegExp) => Effect.succeed(pattern.source),
    }),
  ),
);

function patternFault(source: string, error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  const cause = said.replace(`Invalid regular expression: /${source}/u: `, "");
  return `is no regular expression: ${cause}`;
}

function patternFix(source: string): string {
  if (source.includes("(?P<")) return "write named groups as (?<name>…), without the P";
  return "correct it: JavaScript syntax, literal { } [ ] ( ) / - need a backslash only where they mean something";
}

export const Secret = Schema.String.check(
  Schema.isPattern(referencePattern, {
    expected: "env:NAME or file:PATH",
    message: "a secret must not stand in the file itself",
    fix: "write env:NAME or file:PATH, and put the secret in that environment variable or file",
  }),
);

export const Command = Schema.Array(Text).check(
  Schema.isMinLength(1, { message: "is empty", fix: 'write a list: ["python3", "bridge.py"]' }),
);

/** Of a request; which names and values may stand there, resolve.ts says. */
export const Headers = Schema.Record(Schema.String, Schema.String);

export const Environment = Schema.Record(
  Schema.String,
  Schema.Union([Schema.String, Schema.Number, Schema.Boolean]),
);
