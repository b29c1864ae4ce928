# What senders of notifications rely on. Each block is one request and the answer that it has always had:
# `#> STATUS`, then its JSON, by meaning; a `#> STATUS` alone says nothing of the body. Set ORRERY and SECRET to run it by hand.

# Ceph announces one raw image
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [{"eventVersion": "2.2", "eventSource": "ceph:s3", "awsRegion": "default", "eventTime": "2025-11-22T03:25:40.000Z",
  "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "lsstcam"}, "requestParameters": {"sourceIPAddress": ""},
  "responseElements": {"x-amz-request-id": "4a1", "x-amz-id-2": "17"},
  "s3": {"s3SchemaVersion": "1.0", "configurationId": "all", "bucket": {"name": "rubinobs-raw-lsstcam", "ownerIdentity":
  {"principalId": "lsstcam"}, "arn": "arn:aws:s3:default::rubinobs-raw-lsstcam", "id": "4a1:rubinobs-raw-lsstcam"},
  "object": {"key": "LSSTCam/20251121/MC_O_20251121_000156/MC_O_20251121_000156_R22_S11.fits", "size": 8640, "eTag": "e1",
  "versionId": "", "sequencer": "E5", "metadata": [], "tags": []}}, "eventId": "1732", "opaqueData": "$SECRET"}]}
JSON
#> 200
#> [{"bucket": "rubinobs-raw-lsstcam", "instrument": "LSSTCam", "obs_day": "20251121", "exp_id": "MC_O_20251121_000156",
#>   "filename": "MC_O_20251121_000156_R22_S11.fits", "instrument_code": "MC", "controller": "O", "seq_num": "000156",
#>   "path": "rubinobs-raw-lsstcam/LSSTCam/20251121/MC_O_20251121_000156/MC_O_20251121_000156_R22_S11.fits"}]

# the same again
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [{"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcam"},
  "object": {"key": "LSSTCam/20251121/MC_O_20251121_000156/MC_O_20251121_000156_R22_S11.fits", "size": 8640, "eTag": "e1"}}}]}
JSON
#> 200
#> [{"bucket": "rubinobs-raw-lsstcam", "instrument": "LSSTCam", "obs_day": "20251121", "exp_id": "MC_O_20251121_000156",
#>   "filename": "MC_O_20251121_000156_R22_S11.fits", "instrument_code": "MC", "controller": "O", "seq_num": "000156",
#>   "path": "rubinobs-raw-lsstcam/LSSTCam/20251121/MC_O_20251121_000156/MC_O_20251121_000156_R22_S11.fits"}]

# a replay by hand: nothing but what is read
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [{"opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-latiss"},
  "object": {"key": "LATISS/20220405/AT_O_20220405_000348/AT_O_20220405_000348.fits"}}}]}
JSON
#> 200
#> [{"bucket": "rubinobs-raw-latiss", "instrument": "LATISS", "obs_day": "20220405", "exp_id": "AT_O_20220405_000348",
#>   "filename": "AT_O_20220405_000348.fits", "instrument_code": "AT", "controller": "O", "seq_num": "000348",
#>   "path": "rubinobs-raw-latiss/LATISS/20220405/AT_O_20220405_000348/AT_O_20220405_000348.fits"}]

# a key is form-encoded: slashes may be, + is a space
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [{"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-lfa-cp"},
  "object": {"key": "GenericCamera%3A101%2Ffits/2025/11/21/a+b%2Bc%25%C3%A9.fits", "size": "17", "eTag": "e"}}}]}
JSON
#> 200
#> [{"bucket": "rubinobs-lfa-cp", "instrument": "GenericCamera:101/fits", "obs_day": "20251121", "filename": "a b+c%é.fits",
#>   "path": "rubinobs-lfa-cp/GenericCamera:101/fits/2025/11/21/a b+c%é.fits"}]

# the three shapes of the Large File Annex, in their order
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [
  {"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-lfa-cp"},
   "object": {"key": "ATCamera/2025/11/21/a.fits", "size": 1, "eTag": "e"}}},
  {"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-lfa-cp"},
   "object": {"key": "MTMount/1/2025/11/21/b.fits", "size": 1, "eTag": "e"}}},
  {"eventName": "ObjectCreated:CompleteMultipartUpload", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-lfa-cp"},
   "object": {"key": "MTMount/1/2025/11/21/folder/c.fits", "size": 1, "eTag": "e"}}}]}
JSON
#> 200
#> [{"bucket": "rubinobs-lfa-cp", "instrument": "ATCamera", "obs_day": "20251121", "filename": "a.fits",
#>   "path": "rubinobs-lfa-cp/ATCamera/2025/11/21/a.fits"},
#>  {"bucket": "rubinobs-lfa-cp", "instrument": "MTMount/1", "obs_day": "20251121", "filename": "b.fits",
#>   "path": "rubinobs-lfa-cp/MTMount/1/2025/11/21/b.fits"},
#>  {"bucket": "rubinobs-lfa-cp", "instrument": "MTMount/1", "obs_day": "20251121", "filename": "c.fits",
#>   "path": "rubinobs-lfa-cp/MTMount/1/2025/11/21/folder/c.fits"}]

# a wrong secret skips its record
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [{"eventName": "ObjectCreated:Put", "opaqueData": "not $SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcam"},
  "object": {"key": "LSSTCam/20251121/MC_O_20251121_000157/MC_O_20251121_000157_R22_S11.fits"}}}]}
JSON
#> 200
#> []

# so does a name that is no FITS file's; what stands beside it is queued
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [
  {"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcam"},
   "object": {"key": "LSSTCam/20251121/MC_C_20251121_000013/MC_C_20251121_000013_R00_SG0_guider.json"}}},
  {"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcam"},
   "object": {"key": "LSSTCam/20251121/MC_C_20251121_000013/MC_C_20251121_000013_R00_SG0_guider.fits"}}},
  {"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcam"},
   "object": {"key": "LSSTCam/20251121/MC_C_20251121_000013/MC_C_20251121_000013_R22_S11.FITS"}}}]}
JSON
#> 200
#> [{"bucket": "rubinobs-raw-lsstcam", "instrument": "LSSTCam", "obs_day": "20251121", "exp_id": "MC_C_20251121_000013",
#>   "filename": "MC_C_20251121_000013_R00_SG0_guider.fits", "instrument_code": "MC", "controller": "C", "seq_num": "000013",
#>   "path": "rubinobs-raw-lsstcam/LSSTCam/20251121/MC_C_20251121_000013/MC_C_20251121_000013_R00_SG0_guider.fits"}]

# the pattern is searched, not a whole name's
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [{"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcam"},
  "object": {"key": "LSSTCam/20251121/MC_O_20251121_000160/anything_at_all-fits"}}}]}
JSON
#> 200
#> [{"bucket": "rubinobs-raw-lsstcam", "instrument": "LSSTCam", "obs_day": "20251121", "exp_id": "MC_O_20251121_000160",
#>   "filename": "anything_at_all-fits", "instrument_code": "MC", "controller": "O", "seq_num": "000160",
#>   "path": "rubinobs-raw-lsstcam/LSSTCam/20251121/MC_O_20251121_000160/anything_at_all-fits"}]

# where two days differ, the path's is the file's
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [{"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcam"},
  "object": {"key": "LSSTCam/20251121/MC_O_20251122_000001/MC_O_20251122_000001_R22_S11.fits"}}}]}
JSON
#> 200
#> [{"bucket": "rubinobs-raw-lsstcam", "instrument": "LSSTCam", "obs_day": "20251121", "exp_id": "MC_O_20251122_000001",
#>   "filename": "MC_O_20251122_000001_R22_S11.fits", "instrument_code": "MC", "controller": "O", "seq_num": "000001",
#>   "path": "rubinobs-raw-lsstcam/LSSTCam/20251121/MC_O_20251122_000001/MC_O_20251122_000001_R22_S11.fits"}]

# the same file twice in one request is answered twice
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json; charset=utf-8' -d @- <<JSON
{"Records": [
  {"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-ts8"},
   "object": {"key": "LSST-TS8/20251121/TS_C_20251121_000001/TS_C_20251121_000001_R22_S11.fits"}}},
  {"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-ts8"},
   "object": {"key": "LSST-TS8/20251121/TS_C_20251121_000001/TS_C_20251121_000001_R22_S11.fits"}}}]}
JSON
#> 200
#> [{"bucket": "rubinobs-raw-ts8", "instrument": "LSST-TS8", "obs_day": "20251121", "exp_id": "TS_C_20251121_000001",
#>   "filename": "TS_C_20251121_000001_R22_S11.fits", "instrument_code": "TS", "controller": "C", "seq_num": "000001",
#>   "path": "rubinobs-raw-ts8/LSST-TS8/20251121/TS_C_20251121_000001/TS_C_20251121_000001_R22_S11.fits"},
#>  {"bucket": "rubinobs-raw-ts8", "instrument": "LSST-TS8", "obs_day": "20251121", "exp_id": "TS_C_20251121_000001",
#>   "filename": "TS_C_20251121_000001_R22_S11.fits", "instrument_code": "TS", "controller": "C", "seq_num": "000001",
#>   "path": "rubinobs-raw-ts8/LSST-TS8/20251121/TS_C_20251121_000001/TS_C_20251121_000001_R22_S11.fits"}]

# a bucket of a profile keeps its name
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [{"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcomcam"},
  "object": {"key": "LSSTComCam/20241109/CC_O_20241109_000007/CC_O_20241109_000007_R22_S00.fits"}}}]}
JSON
#> 200
#> [{"bucket": "embargo@rubinobs-raw-lsstcomcam", "instrument": "LSSTComCam", "obs_day": "20241109",
#>   "exp_id": "CC_O_20241109_000007", "filename": "CC_O_20241109_000007_R22_S00.fits", "instrument_code": "CC",
#>   "controller": "O", "seq_num": "000007",
#>   "path": "embargo@rubinobs-raw-lsstcomcam/LSSTComCam/20241109/CC_O_20241109_000007/CC_O_20241109_000007_R22_S00.fits"}]

# no records, sent in pieces
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -H 'Transfer-Encoding: chunked' -d '{"Records": []}'
#> 200
#> []

# no JSON
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d '{"Records": ['
#> 400

# another method
curl -sS "$ORRERY/notify"
#> 405

# another path
curl -sS "$ORRERY/notified" -H 'Content-Type: application/json' -d '{"Records": []}'
#> 404
