/**
 * Every bound in the system, units in the names. Relations between them are asserted when this module loads,
 * so that a build with contradictory limits cannot start.
 */

/** JetStream refuses an atomic batch above this (error 10199 / 10210 family). */
export const transactionMessagesMax = 1_000;
/** Most items one claim may hold. */
export const claimItemsMax = 330;
/** Of a claim's items together, in its slot, and of each besides its names. */
export const claimBytesMax = 786_432;
export const claimedItemBytes = 120;
/** Most ledger messages one item adds to a settle or a reclaim: its record, its old index, its new index or exposure. */
export const recordsPerItemMax = 3;

/** Most items of a lane's second queue (replays) in one claim: what has just come waits for no more than these. */
export const laterItemsMax = 50;

/** A delivery that never became a claim is delivered again after this. Extended with `+WPI` while in hand. */
export const ackWaitMs = 8_000;
/** How often everything in hand is extended. */
export const progressEveryMs = 2_000;
/** A message that waited longer in the local buffer is let go: its delivery may already be somebody else's. */
export const bufferedMsMax = Math.floor(ackWaitMs / 3);

/** Life of a node's lease in `nodes`. NATS grants no TTL below 1 s. */
export const nodeLeaseMs = 2_000;
export const nodeRenewEveryMs = 500;
/** A lease is believed to have run out only after the observer's own renewals were answered for this long. */
export const believeAfterMs = 1 * nodeLeaseMs;

/** How often a node looks whether the streams that it needs are there. */
export const streamsEveryMs = 5_000;

/** Sweep of the reclaimer: leases, due, waiting. */
export const reclaimEveryMs = 500;
/** Most due items of one mailbox that one tick puts back. */
export const putBackPerTickMax = 2_000;

/** Of an arrival, characters of fields that this version does not know, as JSON: they go along when it is put back. */
export const beyondCharsMax = 4_096;
/** Error texts kept on a record. */
export const recordErrorsMax = 8;
export const recordHistoryMax = 24;
export const recordTextBytesMax = 1_024;
/** S3's own limit on an object key, in bytes of UTF-8. */
export const objectKeyBytesMax = 1_024;
/** S3 grants buckets 63; the longest that an old Ceph grants. It becomes a part of ledger keys. */
export const bucketNameBytesMax = 255;
/** Etags and sequencers: three times what any known store writes. They become a part of message ids. */
export const etagBytesMax = 256;
/** NATS refuses a protocol line above 4,096 bytes; a subject must leave room for the reply and sizes. */
export const subjectBytesMax = 3_600;
/** Longer ones are not even sent: the server would end the connection. What a key's own limit does not know of (a receiver's name) fits in between. */
export const sentSubjectBytesMax = 3_900;
/** What the server accepts as one message. */
export const messageBytesMax = 1_048_576;

export const notifyBodyBytesMax = 8 * 1_048_576;
export const notifyRecordsMax = 5_000;
/** Of all bodies that are coming in at once, beyond the first bytes of each, which are free: a full house refuses no usual request. */
export const bodiesBytesMax = 256 * 1_048_576;
export const bodyFreeBytes = 16_384;
/** Notifications on NATS that wait to be worked on, and that are worked on at once. */
export const natsWaitingBytesMax = 64 * 1_048_576;
export const natsAtOnceMax = 64;
/** Arrivals and items stay in their streams for this long, worked on or not. */
export const mailKeptMs = 7 * 86_400_000;
/** What came within one commit window goes in one atomic batch. */
export const commitRecordsMax = 500;
/** Atomic batches in flight at once; more do not help one stream. */
export const commitsInFlightMax = 2;
/** From this many on, writes that need not stand or fall together go in a batch: fewer are sooner on disk as single messages. */
export const commitBatchFrom = 24;
/** Single messages in flight at once: they keep the stream busy while the next batch gathers. */
export const commitSinglesMax = 32;
/** Records accepted by this process and not yet committed; above it the answer is 503. */
export const commitQueueMax = 20_000;
export const commitDeadlineMs = 10_000;
/** Arrivals whose ids are remembered once they were sent, four bytes each. */
export const commitIdsRemembered = 262_144;
/** Counts of what was announced again that are kept in memory: one a lane, day and instrument. */
export const repeatCountsMax = 256;
/** What the front door parks goes in transactions of this many, two messages each. */
export const parkRecordsMax = 300;

/** Marks of a purged day's files, eight bytes each, in one value; and how long they are kept. */
export const seenMarksPerKeyMax = 65_536;
export const seenKeptMs = 400 * 86_400_000;
/** Purged days whose marks are kept in memory, about 2 MB each. */
export const seenDaysCachedMax = 8;

/** Longest wait a presence look-up may ask for. */
export const presenceWaitSecondsMax = 300;
/** Look-ups waiting at once in one process; above it `wait` answers at once. */
export const presenceWaitersMax = 10_000;
/** Look-ups of groups not held in memory: reads through the leader at once, and look-ups that wait for theirs. */
export const presenceReadsInFlightMax = 256;
export const presenceReadsQueuedMax = 20_000;

/** What other sites have is asked of the supernode, which answers within this; else the answer says that they were not asked. */
export const sitesAskMs = 1_000;
/** The supernode did not answer: for this long nobody waits for it again. */
export const sitesAwayMs = 1_000;
/** Questions to it at once, and look-ups that wait for theirs. */
export const sitesAsksInFlightMax = 1_024;
export const sitesAsksQueuedMax = 20_000;
/** A look-up with `wait` has the supernode hold its answer back for this at most, and then again; groups so asked for at once. */
export const sitesWatchMs = 5_000;
export const sitesWatchedMax = 2_000;
/** Look-ups that wait at one of the supernode's nodes: of each site that asks, and of all who ask there. More are told that it is not known. */
export const siteWaitersMax = 4_000;
export const sitesWaitersHereMax = 10_000;
/** Records of another site's files that the supernode sends ahead of their being stored here. */
export const filesOfInHandMax = 5_000;
/**
 * So long a site that was rebuilt has been heard of without break, and nothing more has come: it has told of all that it has, and what
 * only its former life had is gone, unless that is most of it.
 */
export const siteSettledMs = 10_000;
/** Of another site's files something is heard every second, if only that there is nothing. */
export const filesHeardMsMax = 3_000;
/** A run whose input lies at another site, whose storage does not answer, is tried again after this. */
export const otherSiteAgainMs = 5_000;

/** The supernode looks which sites it sources, and when each was last heard of, this often; unanswered for so long it knows nothing. */
export const sitesLookEveryMs = 2_000;
export const sitesLookOldMs = 15_000;

/** Request line and headers together; above it the answer is 431. */
export const httpHeaderBytesMax = 16_384;
/** For a request's headers to come in, and for all of it. */
export const httpHeadersMs = 10_000;
export const httpRequestMs = 60_000;
/** An idle connection is kept for this: longer than the usual 60 s of a proxy in front, so that the proxy closes first. */
export const httpKeepAliveMs = 75_000;
export const httpConnectionsMax = 16_384;
/** Source addresses whose haste is remembered, about 150 bytes each; and how often the log tells of those that are held back. */
export const limitedAddressesMax = 65_536;
export const limitedToldEveryMs = 10_000;
/** What still comes in of a refused body is read and dropped for this, so that the sender sees the answer. */
export const httpLingerMs = 2_000;
/** Counts of single look-ups and requests reach the metrics in steps of this. */
export const countersFlushMs = 250;

/** How often the embedded server is asked whether it can write, and the room on its disk with which it is started anew. */
export const embeddedHealthEveryMs = 1_000;
export const embeddedRoomBytes = 64 * 1_048_576;

export const requestDeadlineMs = 5_000;
export const sidecarBytesMax = 4 * 1_048_576;
export const fitsHeaderBytesMax = 4 * 1_048_576;
export const subprocessLineBytesMax = 16 * 1_048_576;
/** What a bridge wrote to stderr last, kept to explain its end. Longer lines are logged in pieces of this. */
export const subprocessErrorBytesMax = 4_096;
/** A bridge that is asked to end has this long to do so. */
export const subprocessTermGraceMs = 1_000;
/** Workers of a lane that share a bridge: while it has the batch of one, the other settles its last and reads its next. */
export const workersPerBridge = 2;
/** Between starts of a bridge that keeps failing, doubling; the first start after a good life is at once. */
export const subprocessRestartFirstMs = 500;
export const subprocessRestartMostMs = 30_000;
/** A service that lost a batch is asked for an empty one: for its answer, and between two tries. */
export const serviceAskMs = 5_000;
export const serviceAskEveryMs = 500;
export const jobLogBytesMax = 16 * 1_048_576;
/** A command that is asked to end has this long to do so: at its time limit, and when this process drains. */
export const runTermGraceMs = 5_000;
export const runInterruptGraceMs = 500;
/** The container engine's client answers a question within this. */
export const dockerAnswerMs = 10_000;
/** A command on another machine: its keeper looks for its runner's word, and gives a sign of life, this often. */
export const keeperLookMs = 100;
export const keeperBeatMs = 1_000;
/** One of the two that has given none for this long is gone. */
export const keeperLostMs = 20_000;
/** What was written on one machine is seen on another within this, also where it was looked for too early. */
export const keeperLagMs = 5_000;
/** Nomad answers a question within this; a question that may wait, so much longer. */
export const nomadAnswerMs = 10_000;
export const nomadWaitMs = 15_000;
export const nomadAnswerBytesMax = 4 * 1_048_576;
/** One line of its event stream. */
export const nomadEventBytesMax = 16 * 1_048_576;
export const nomadReconnectMs = 500;
/** Tries of a dispatch that is not answered, 0.5 s after the first and doubling. */
export const nomadDispatchTriesMax = 7;
/** A dispatch of which Nomad lost the trace before its command began is made anew so often. */
export const nomadRedoMax = 1;
/** A dispatch for which no host had room within this is taken back. */
export const nomadPlaceMs = 3_600_000;
/** A run that its node was not told is somebody else's, or cancelled, is looked at this often. */
export const runWatchEveryMs = 5_000;
/** A run whose job a node does not know is left to others for this long since it was tried first; then it counts as an attempt that failed. */
export const jobUnknownMs = 600_000;
/** Runs of jobs that it does not know, of which a node remembers since when. */
export const unknownRunsMax = 10_000;
/** Inputs of one run brought in at once. */
export const runStagedAtOnceMax = 4;
/** Runs ready and in hand are counted for the metrics this often. */
export const runsBacklogEveryMs = 10_000;
/** Runs that were given up on are looked for this often, whether what they were to make was made by others since; more seldom where there are thousands. */
export const madeAnewEveryMs = 10_000;
/** A bucket that could not be followed for so long is told of, and then this often. */
export const followTroubleMs = 5_000;
export const followToldEveryMs = 60_000;
/** Tries of one storage call before the whole run is given back, 0.5 s after the first and doubling. */
export const runStorageTriesMax = 6;

/** Known files that the notifier of one receiver has in hand: the rest of a backlog stays in its consumer. */
export const notifierInHandMax = 2_000;
/** Files named in one webhook. */
export const webhookFilesMax = 1_000;
/** Of an answer, what is read: a receiver's words for the log. */
export const webhookAnswerBytesMax = 4_096;
/** Of several nodes one at a time tells a receiver; one that was not heard of for this long has lost its turn. */
export const notifierTurnMs = 7_000;
/** A notifier takes at least this often, which is what keeps its turn. */
export const notifierTakeMs = 2_000;
/** As {@link ackWaitMs}, of what a notifier has in hand: shorter, because a receiver is told nothing while it is waited for. */
export const notifierAckWaitMs = 5_000;
export const notifierProgressEveryMs = 1_500;
/** Exposures whose record of what was told is kept in memory. */
export const notifiedCachedMax = 512;
/** Marks of files in one exposure's record: beyond it the oldest are dropped, and a rewrite of such a file is told again. */
export const notifiedMarksMax = 20_000;
export const notifiedRefusalsMax = 16;
/** Of one mark, with its quotes, and of the files that one refusal names, as JSON. */
export const notifiedMarkBytes = 15;
export const notifiedNamesBytesMax = 32_768;
/** Known files that become visits in one transaction. */
export const visitFilesMax = 1_000;
/** A visit whose record would be larger is no visit: what more comes of it is left out, and told in the log. */
export const visitBytesMax = 262_144;
/** Between takes of files that become visits: what comes meanwhile is written once. */
export const visitsEveryMs = 150;

/** Pointings, hours or days that the date range of an input may reach, either way. */
export const rangeUnitsMax = 10_000;
/** Rows of a repoint table: its numbers have five digits. */
export const calendarRowsMax = 100_002;
/** A repoint table with as many rows as that. */
export const tableBytesMax = 16 * 1_048_576;
/** Runs of reprocessings that stand in a lane's queue at once, for each of its workers on a node. */
export const redoRunsPerWorkerMax = 4;
/** A run that could not be begun is tried again after the first, and doubling, at most the second. */
export const beginAgainFirstMs = 500;
export const beginAgainMostMs = 8_000;
/** The log tells of such runs together, this often. */
export const beginToldEveryMs = 10_000;
/** Job records that are told together; each may name all that its partition lacks. */
export const jobRecordsPerCommitMax = 200;
/** Of what is open, how many partitions one answer goes to the root of: more than a year of a mission has. */
export const expectedLookedMax = 60_000;
/** Causes, partitions, changes, runs and files that one answer tells: the message they go into holds a mebibyte. */
export const expectedGroupsMax = 200;
export const partitionsToldMax = 1_000;
export const previewChangesMax = 500;
export const runsToldMax = 24;
/** Data sets that no job takes, of which status tells. */
export const untakenToldMax = 20;
export const neededFilesToldMax = 50;
/** Deeper than the jobs of a mission stand one upon the other. */
export const causeDepthMax = 16;
/** Files of one preview, and partitions that are looked at for them. */
export const previewFilesMax = 500;
export const previewLookedMax = 60_000;
/** Runs of one lineage, and inputs and outputs of these that are named. */
export const lineageRunsMax = 400;
export const lineageNamedMax = 1_500;
/** Files of one job catalogue, and the size of each. */
export const catalogueFilesMax = 256;
export const catalogueFileBytesMax = 4 * 1_048_576;

/** A site of which the supernode has heard nothing for this long is named: its heartbeats come every few seconds. */
export const sourceSilentMsMax = 30_000;
/**
 * A source of which nothing was heard for so long is lost: it is asked for again once its site answers, within the second. Done again
 * after the third, and then twice as late each time.
 */
export const sourceLostMs = 12_000;
export const siteAnswerMsMax = 2_000;
export const sourceWakeEveryMs = 15_000;
export const sourceWakeEveryMsMax = 3_600_000;
/** How often the supernode's keeper looks at its sources. */
export const sourceLookEveryMs = 5_000;
/** How often it counts each site's files for the metrics. */
export const siteCountEveryMs = 30_000;
/** What sites have purged is looked for once more this often: what a purge took away may have come back. */
export const keepAgainEveryMs = 600_000;
/** Days that one record of a site's purges may name. */
export const purgedDaysMax = 400;
/** Records of purges that a site may have: one a lane. Beyond them, and of one that is larger, comparisons find what the site purged. */
export const purgedKeysMax = 256;
export const purgedBytesMax = 65_536;
/** Filters of days in one look at the supernode (the server compares each with each), and keys that one look goes through. */
export const purgedFiltersAtOnce = 100;
export const purgedKeysAtOnce = 100_000;
/** A site's purges are followed at the supernode for so long, and then those of the next site; begun is finished. */
export const purgeSliceMs = 1_000;
/** What the supernode has of a site is compared with the site this often, and when it could not be, again after the second. */
export const reconcileEveryMs = 6 * 3_600_000;
export const reconcileAgainMs = 600_000;
/** Without a key for so long the listing of a site's ledger is given up; heartbeats are none. */
export const siteListingSilentMsMax = 20_000;
/** One comparison with a site is given up after this, so that the other sites have their turn. */
export const siteComparedMsMax = 900_000;
/** Days by which two ledgers are compared before their keys are. */
export const reconcileGroupsMax = 20_000;
/** Single keys that are dropped by one comparison, and those that it names. */
export const reconcileDropsMax = 10_000;
export const reconcileNamedMax = 100;
/** Of a site's keys at the supernode, the share that is dropped without being told to: a site that lost more may have lost it by mistake. */
export const dropShareMax = 0.5;
/** A command that changes a folder of deployments waits so long for another one that does. */
export const folderLockWaitMs = 10_000;
/** A site that is no longer heard of is named within this. */
export const sourceNamedMsMax = 60_000;

/** A stream is archived and restored in pieces of this; the server sends so much ahead of what is stored. */
export const archivePieceBytes = 131_072;
export const archiveWindowBytes = 8 * 1_048_576;
/** The last piece is answered when all of the stream is restored. */
export const archiveFinishMsMax = 600_000;
/** What came to a stream meanwhile is read so often until its last transaction is whole, and is written back in steps of this. */
export const tailTriesMax = 100;
export const tailStepMax = 250;
/** A manifest of a backup, and how often a stream is archived anew when that broke off. */
export const manifestBytesMax = 4 * 1_048_576;
export const archiveTriesMax = 3;
/** Differences between two ledgers that are named, and records of one day of a lane that are held against each other at once. */
export const ledgerDifferencesMax = 50;
export const ledgerComparedMax = 1_000_000;

/** One call of openssl, which makes a key or a certificate. */
export const opensslMsMax = 30_000;

/** Of a node's memory in use, what may be added to it before it is collected. */
export const heapGrowthPercent = 40;

/** A drain (SIGTERM) ends within this: claims are released, the process gone. */
export const drainMs = 1_500;

function assert(condition: boolean, relation: string): void {
  if (!condition) throw new Error(`limits.ts: ${relation} does not hold`);
}

assert(
  claimItemsMax * recordsPerItemMax + 1 <= transactionMessagesMax,
  "claimItemsMax × recordsPerItemMax + 1 <= transactionMessagesMax (settle and reclaim are one transaction each)",
);
assert(seenMarksPerKeyMax * 8 <= messageBytesMax / 2, "seenMarksPerKeyMax × 8 <= messageBytesMax / 2");
assert(
  claimBytesMax <= messageBytesMax - 65_536,
  "claimBytesMax <= messageBytesMax - 64 KiB (a slot is one message)",
);
assert(subjectBytesMax < sentSubjectBytesMax, "subjectBytesMax < sentSubjectBytesMax");
assert(laterItemsMax <= claimItemsMax, "laterItemsMax <= claimItemsMax");
assert(commitRecordsMax <= transactionMessagesMax, "commitRecordsMax <= transactionMessagesMax");
assert(parkRecordsMax * 2 <= transactionMessagesMax, "parkRecordsMax × 2 <= transactionMessagesMax");
assert(Number.isInteger(Math.log2(commitIdsRemembered)), "commitIdsRemembered is a power of two");
assert(commitBatchFrom <= commitSinglesMax, "commitBatchFrom <= commitSinglesMax");
assert(progressEveryMs * 3 <= ackWaitMs, "progressEveryMs × 3 <= ackWaitMs (two lost +WPI are survived)");
assert(bufferedMsMax * 3 <= ackWaitMs, "bufferedMsMax × 3 <= ackWaitMs");
assert(nodeLeaseMs >= 1_000, "nodeLeaseMs >= 1000 (the server's smallest TTL)");
assert(
  nodeRenewEveryMs * 3 < nodeLeaseMs,
  "nodeRenewEveryMs × 3 < nodeLeaseMs (three lost renewals are survived)",
);
assert(believeAfterMs >= nodeLeaseMs, "believeAfterMs >= nodeLeaseMs");
assert(
  runInterruptGraceMs * 2 <= drainMs,
  "runInterruptGraceMs × 2 <= drainMs (the claim is given back after it)",
);
assert(subprocessTermGraceMs < drainMs, "subprocessTermGraceMs < drainMs (a bridge ends within a drain)");
assert(
  keeperBeatMs * 5 <= keeperLostMs,
  "keeperBeatMs × 5 <= keeperLostMs (signs of life that are seen late are survived)",
);
assert(drainMs < nodeLeaseMs, "drainMs < nodeLeaseMs");
assert(
  sourceSilentMsMax + 2 * sourceLookEveryMs + requestDeadlineMs <= sourceNamedMsMax,
  "sourceSilentMsMax + 2 × sourceLookEveryMs + requestDeadlineMs <= sourceNamedMsMax (a look that fails is survived)",
);
assert(archivePieceBytes * 4 <= archiveWindowBytes, "archivePieceBytes × 4 <= archiveWindowBytes");
assert(archivePieceBytes <= messageBytesMax, "archivePieceBytes <= messageBytesMax");
assert(tailStepMax <= transactionMessagesMax, "tailStepMax <= transactionMessagesMax");
assert(
  presenceWaitersMax < httpConnectionsMax,
  "presenceWaitersMax < httpConnectionsMax (waiting leaves room to ask)",
);
assert(
  httpConnectionsMax < presenceReadsQueuedMax,
  "httpConnectionsMax < presenceReadsQueuedMax (waiters over HTTP that give up together can all look once more)",
);
assert(
  presenceWaitersMax <= sitesAsksQueuedMax,
  "presenceWaitersMax <= sitesAsksQueuedMax (waiters that give up together can all ask once more)",
);
assert(
  sitesWatchedMax * 2 <= siteWaitersMax,
  "sitesWatchedMax × 2 <= siteWaitersMax (two nodes of a site may ask the same one of the supernode)",
);
assert(sitesWatchMs <= presenceWaitSecondsMax * 1_000, "sitesWatchMs <= presenceWaitSecondsMax");
assert(sitesLookEveryMs * 3 <= sitesLookOldMs, "sitesLookEveryMs × 3 <= sitesLookOldMs");
assert(
  notifierProgressEveryMs * 3 <= notifierAckWaitMs,
  "notifierProgressEveryMs × 3 <= notifierAckWaitMs (two lost +WPI are survived)",
);
assert(
  notifierTakeMs * 3 <= notifierTurnMs,
  "notifierTakeMs × 3 <= notifierTurnMs (two lost takes are survived)",
);
assert(
  notifierTurnMs >= notifierAckWaitMs + notifierTakeMs,
  "notifierTurnMs >= notifierAckWaitMs + notifierTakeMs (what a dead node had in hand is back when its turn ends)",
);
assert(bufferedMsMax < notifierAckWaitMs, "bufferedMsMax < notifierAckWaitMs");
assert(
  notifiedMarksMax * notifiedMarkBytes +
    notifiedRefusalsMax * (notifiedNamesBytesMax + 6 * recordTextBytesMax) <=
    messageBytesMax - 65_536,
  "notifiedMarksMax × notifiedMarkBytes + notifiedRefusalsMax × notifiedNamesBytesMax <= messageBytesMax",
);
assert(webhookFilesMax <= notifiedMarksMax, "webhookFilesMax <= notifiedMarksMax");
assert(visitFilesMax <= transactionMessagesMax, "visitFilesMax <= transactionMessagesMax");
assert(httpHeadersMs <= httpRequestMs, "httpHeadersMs <= httpRequestMs");
assert(notifyBodyBytesMax * 2 <= bodiesBytesMax, "notifyBodyBytesMax × 2 <= bodiesBytesMax");
assert(sidecarBytesMax <= notifyBodyBytesMax, "sidecarBytesMax <= notifyBodyBytesMax");
assert(
  sidecarBytesMax < subprocessLineBytesMax && fitsHeaderBytesMax < subprocessLineBytesMax,
  "sidecarBytesMax, fitsHeaderBytesMax < subprocessLineBytesMax (one item fits into a request)",
);
