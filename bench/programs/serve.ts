/** The life of a bench's program: start, tell the parent, stop when asked, and end with the parent however that one ends. */
export interface Served {
  readonly http: string | null;
  readonly stop: () => Promise<void>;
}

export async function serve(start: (args: ReadonlyArray<string>) => Promise<Served>): Promise<void> {
  process.once("disconnect", () => process.exit(0));
  const { http, stop } = await start(process.argv.slice(2));
  const end = (): void => void stop().finally(() => process.exit(0));
  process.once("SIGTERM", end);
  process.once("SIGINT", end);
  process.send?.({ http });
}
