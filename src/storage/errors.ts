/** How reading and writing objects fails. None of them leaves a half-written object behind. */
import * as Schema from "effect/Schema";

/** The bucket is there, the object is not. */
export class ObjectMissing extends Schema.TaggedError<ObjectMissing>()("ObjectMissing", {
  uri: Schema.String,
}) {
  override get message(): string {
    return `${this.uri} does not exist. Was it removed after it was announced? Upload it again, or discard the file.`;
  }
}

/** The store refuses these credentials. Nothing was read or written. */
export class AccessDenied extends Schema.TaggedError<AccessDenied>()("AccessDenied", {
  uri: Schema.String,
  operation: Schema.String,
  detail: Schema.String,
}) {
  override get message(): string {
    return `${this.operation} ${this.uri} was refused (${this.detail}). Check the credentials of this storage and the bucket's policy.`;
  }
}

/** The store, or the whole bucket, is away or did not answer in time. No object is to blame: try again. */
export class StorageUnavailable extends Schema.TaggedError<StorageUnavailable>()("StorageUnavailable", {
  uri: Schema.String,
  operation: Schema.String,
  detail: Schema.String,
}) {
  override get message(): string {
    return `${this.operation} ${this.uri}: no usable answer (${this.detail}). It is tried again; check that the storage is up and the bucket exists.`;
  }
}

/** More bytes than the caller allowed. Nothing was read. */
export class ObjectTooLarge extends Schema.TaggedError<ObjectTooLarge>()("ObjectTooLarge", {
  uri: Schema.String,
  bytes: Schema.Number,
  bytesMax: Schema.Number,
}) {
  override get message(): string {
    return `${this.uri} has ${this.bytes} bytes; at most ${this.bytesMax} are taken here.`;
  }
}

/** A name that this store cannot hold, or that leads out of it. Nothing was touched. */
export class InvalidKey extends Schema.TaggedError<InvalidKey>()("InvalidKey", {
  bucket: Schema.String,
  key: Schema.String,
  detail: Schema.String,
}) {
  override get message(): string {
    return `${JSON.stringify(`${this.bucket}/${this.key}`)} cannot be the name of an object: ${this.detail}.`;
  }
}

/** The content was replaced between two reads of one stream. What was read is of no use: begin again. */
export class ObjectChanged extends Schema.TaggedError<ObjectChanged>()("ObjectChanged", {
  uri: Schema.String,
  before: Schema.String,
  after: Schema.String,
}) {
  override get message(): string {
    return `${this.uri} was replaced while it was read (etag ${this.before}, then ${this.after}). Read it again from its beginning.`;
  }
}

export type ReadError = ObjectMissing | AccessDenied | StorageUnavailable | InvalidKey;
export type StorageError = ReadError | ObjectTooLarge | ObjectChanged;
