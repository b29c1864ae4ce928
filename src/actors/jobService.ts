/**
 * Answers questions about jobs out of the resolver's memory, on NATS. Whatever it says is as of the facts that this node has seen; nothing
 * is decided by it.
 */
import type * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { errorHeaders, serve } from "../jetstream/requests.ts";
import type { NatsRequest } from "../jetstream/requests.ts";
import { messageBytesMax } from "../limits.ts";
import type { NatsUnavailable } from "../protocol/errors.ts";
import { jobsQueue, jobsSubject } from "../protocol/jobQuestions.ts";
import { BadQuestion } from "./BadQuestion.ts";
import type { Known } from "./jobAnswers.ts";
import { answers } from "./jobAnswers.ts";
import type { NodeContextService } from "./NodeContext.ts";

/** @param known as it is now: the memory is made anew from time to time; null while nothing is known yet */
export const serveJobs = (
  node: NodeContextService,
  known: () => Known | null,
): Effect.Effect<Effect.Effect<never, NatsUnavailable>, NatsUnavailable, Scope.Scope> =>
  serve(node.nats, {
    subjects: [`${jobsSubject}.*`],
    queue: jobsQueue,
    each: (request) => answer(node, known(), request),
  });

const text = new TextDecoder();

function answer(node: NodeContextService, known: Known | null, request: NatsRequest): void {
  const refuse = (status: number, message: string): void => {
    request.respond(JSON.stringify({ error: true, message }), {
      headers: errorHeaders(status, "see the body"),
    });
  };
  const what = request.subject.slice(jobsSubject.length + 1);
  const found = answers.get(what);
  if (found === undefined)
    return refuse(400, `no question is called ${what}: ${[...answers.keys()].join(", ")}`);
  if (known === null) return refuse(503, "the facts are still being read");
  try {
    const said: unknown = request.data.length === 0 ? {} : JSON.parse(text.decode(request.data));
    const reply = JSON.stringify(found(known, said));
    if (reply.length > messageBytesMax)
      return refuse(400, "the answer is too large for one message: ask for less");
    request.respond(reply);
  } catch (cause) {
    if (cause instanceof SyntaxError) return refuse(400, "the question is no JSON");
    if (cause instanceof BadQuestion) return refuse(400, cause.message);
    node.log("error", "a question about jobs could not be answered", {
      question: what,
      cause: String(cause),
    });
    refuse(500, "it could not be answered; the node's log says why");
  }
}
