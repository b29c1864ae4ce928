/** Told to whoever asked: the question is not understood, or what it is about is not there. */
export class BadQuestion extends Error {}
