/**
 * Keys and JWTs, by NATS's own libraries: an operator signs accounts, an account signs its users, a server trusts the operator.
 * A seed is a secret: whoever holds an account's can make users of it.
 */
import type { Account } from "@nats-io/jwt";
import { decode, encodeAccount, encodeOperator, encodeUser, fmtCreds, parseCreds } from "@nats-io/jwt";
import type { KeyPair } from "@nats-io/nkeys";
import { createAccount, createOperator, createUser, fromSeed } from "@nats-io/nkeys";

const decoder = new TextDecoder();

export interface Key {
  /** `O…`, `A…` or `U…`. */
  readonly publicKey: string;
  /** `SO…`, `SA…` or `SU…`. */
  readonly seed: string;
}

const keyOf = (pair: KeyPair): Key => ({
  publicKey: pair.getPublicKey(),
  seed: decoder.decode(pair.getSeed()),
});

export const newOperator = (): Key => keyOf(createOperator());
export const newAccount = (): Key => keyOf(createAccount());

/** Rejects with the library's own words on a text that is no seed. */
const pairOf = (seed: string): KeyPair => fromSeed(new TextEncoder().encode(seed.trim()));

/** @param systemAccount public key of the account that watches the servers */
export const operatorJwt = (name: string, operatorSeed: string, systemAccount: string): Promise<string> =>
  encodeOperator(name, pairOf(operatorSeed), { system_account: systemAccount });

export interface AccountOptions {
  /** A system account must not have JetStream: the server would refuse to start. */
  readonly jetstream: boolean;
  /** Public keys of users whose JWTs of before that time (epoch seconds) are void. */
  readonly revoked?: Readonly<Record<string, number>>;
}

export function accountJwt(
  name: string,
  accountSeed: string,
  operatorSeed: string,
  options: AccountOptions,
): Promise<string> {
  const unlimited = {
    subs: -1,
    data: -1,
    payload: -1,
    imports: -1,
    exports: -1,
    wildcards: true,
    conn: -1,
    leaf: -1,
  };
  const stored = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  return encodeAccount(
    name,
    pairOf(accountSeed),
    {
      limits: options.jetstream ? { ...unlimited, ...stored } : unlimited,
      ...(options.revoked === undefined ? {} : { revocations: { ...options.revoked } }),
    },
    { signer: pairOf(operatorSeed) },
  );
}

export interface UserOptions {
  readonly publish: ReadonlyArray<string>;
  readonly subscribe: ReadonlyArray<string>;
  readonly publishNot?: ReadonlyArray<string>;
  readonly subscribeNot?: ReadonlyArray<string>;
  /** Only a server may use it, to join as a leaf. */
  readonly leaf?: boolean;
}

/** @param options told the user's own inbox, `_INBOX.<public key>` */
export async function newUser(
  name: string,
  accountSeed: string,
  options: (inbox: string) => UserOptions,
): Promise<{ readonly publicKey: string; readonly creds: string }> {
  const pair = createUser();
  return {
    publicKey: pair.getPublicKey(),
    creds: await credsOf(name, pair, accountSeed, options),
  };
}

async function credsOf(
  name: string,
  pair: KeyPair,
  accountSeed: string,
  options: (inbox: string) => UserOptions,
): Promise<string> {
  const may = options(`_INBOX.${pair.getPublicKey()}`);
  const jwt = await encodeUser(name, pair, pairOf(accountSeed), {
    pub: { allow: [...may.publish], deny: [...(may.publishNot ?? [])] },
    sub: { allow: [...may.subscribe], deny: [...(may.subscribeNot ?? [])] },
    allowed_connection_types: may.leaf === true ? ["LEAFNODE"] : ["STANDARD"],
  });
  return decoder.decode(fmtCreds(jwt, pair));
}

/** What a .creds file lets its holder do. */
export interface UserClaims {
  readonly name: string;
  /** `U…` */
  readonly publicKey: string;
  /** `A…`: the account that signed it. */
  readonly account: string;
  readonly publish: ReadonlyArray<string>;
  readonly subscribe: ReadonlyArray<string>;
  readonly publishNot: ReadonlyArray<string>;
  readonly subscribeNot: ReadonlyArray<string>;
  readonly leaf: boolean;
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Rejects with the library's own words on a text that is no .creds file. */
export async function readUser(creds: string): Promise<UserClaims> {
  const { uc, aid } = await parseCreds(bytesOf(creds));
  const { pub, sub, allowed_connection_types: types } = uc.nats;
  return {
    name: uc.name,
    publicKey: uc.sub,
    account: aid,
    publish: pub?.allow ?? [],
    subscribe: sub?.allow ?? [],
    publishNot: pub?.deny ?? [],
    subscribeNot: sub?.deny ?? [],
    leaf: types?.includes("LEAFNODE") === true,
  };
}

/** The same user with other permissions. What was written of it before stays valid for whoever kept a copy. */
export async function renewUser(
  creds: string,
  accountSeed: string,
  options: (inbox: string) => UserOptions,
): Promise<string> {
  const { key, uc } = await parseCreds(bytesOf(creds));
  return credsOf(uc.name, fromSeed(bytesOf(key)), accountSeed, options);
}

/** Users that the account lets in no more, and since when (epoch seconds). */
export function revocationsOf(accountJwtText: string): Readonly<Record<string, number>> {
  return decode<Account>(accountJwtText).nats.revocations ?? {};
}
