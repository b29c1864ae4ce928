/** Notifications in the shape in which Ceph's object gateway sends them. */

export interface CephObject {
  readonly bucket: string;
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly etag: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** Form-encoded as Ceph does it: a space is a plus, slashes stay. */
function encodeKey(key: string): string {
  return encodeURIComponent(key).replaceAll("%20", "+").replaceAll("%2F", "/");
}

export function cephRecord(object: CephObject): object {
  const { bucket, key, size, etag, at } = object;
  return {
    eventVersion: "2.2",
    eventSource: "ceph:s3",
    awsRegion: "default",
    eventTime: new Date(at).toISOString(),
    eventName: "ObjectCreated:Put",
    userIdentity: { principalId: "camera" },
    requestParameters: { sourceIPAddress: "" },
    responseElements: { "x-amz-request-id": `${at.toString(16)}.orrery-demo`, "x-amz-id-2": "demo" },
    s3: {
      s3SchemaVersion: "1.0",
      configurationId: "orrery",
      bucket: {
        name: bucket,
        ownerIdentity: { principalId: "camera" },
        arn: `arn:aws:s3:default::${bucket}`,
        id: `demo.${bucket}`,
      },
      object: {
        key: encodeKey(key),
        size,
        eTag: etag,
        versionId: "",
        sequencer: at.toString(16).toUpperCase(),
        metadata: [],
        tags: [],
      },
    },
    eventId: `${at}.${etag}`,
    opaqueData: "",
  };
}

/** A record that names no object: what a broken sender might send beside good ones. */
export function namelessRecord(bucket: string, mark: string): object {
  return { eventName: "ObjectCreated:Put", s3: { bucket: { name: bucket }, object: {} }, eventId: mark };
}
