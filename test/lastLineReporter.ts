import type { Reporter, TestModule } from "vitest/node";

/**
 * Prints `N passed, N failed[, N skipped]` as the run's very last line, which CI reads. The checks that failed before
 * the tests began (`ORRERY_CHECKS_FAILED`) are counted in.
 */
export default class LastLineReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<unknown>): void {
    let passed = 0;
    let failed = unhandled.length + Number(process.env["ORRERY_CHECKS_FAILED"] ?? 0);
    let skipped = 0;
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const state = test.result().state;
        if (state === "passed") passed++;
        else if (state === "failed") failed++;
        else skipped++;
      }
      // A file that cannot be loaded, or a hook that fails: its tests have not run and count as skipped.
      failed += module.errors().length;
      for (const suite of module.children.allSuites()) failed += suite.errors().length;
    }
    process.on("exit", () => {
      const tail = skipped > 0 ? `, ${skipped} skipped` : "";
      process.stdout.write(`${passed} passed, ${failed} failed${tail}\n`);
    });
  }
}
