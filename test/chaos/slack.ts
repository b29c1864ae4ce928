/**
 * Deadlines of chaos are those of a machine that has little else to do, and `npm run chaos` judges by them. Run as tests, beside others
 * and on whatever machine, they only have to be there: nothing that is wrong becomes right by waiting.
 */
export const slack = process.env["VITEST"] === undefined ? 1 : 5;
