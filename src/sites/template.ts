/** Configurations from the templates in `nats/`: `{{name}}` is replaced, and every one must be known. */

/** A path or word as nats-server's configuration wants it. JSON's escapes are its own. */
export const quoted = (text: string): string => JSON.stringify(text);

/** Throws on a name of the template that has no value: a defect of whoever calls. */
export function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_all, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`the template has {{${name}}}, for which there is no value`);
    return value;
  });
}

/** What a server trusts: its operator, the account that watches it, and the accounts it knows from the start. */
export function trustConf(
  operatorJwt: string,
  systemAccount: string,
  accounts: Readonly<Record<string, string>>,
): string {
  const known = Object.entries(accounts).map(([key, jwt]) => `  ${key}: ${jwt}`);
  return [
    "# Whom this server trusts. JWTs are signed, not secret.",
    `operator: ${operatorJwt}`,
    `system_account: ${systemAccount}`,
    "resolver_preload: {",
    ...known,
    "}",
    "",
  ].join("\n");
}
