# On a site that forgets a group once it was asked for and found.

# a file is announced
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [{"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcam"},
  "object": {"key": "LSSTCam/20250415/MC_O_20250415_000228/MC_O_20250415_000228_R10_S20.fits", "size": 2880, "eTag": "e"}}}]}
JSON
#> 200

# it is here
curl -sS "$ORRERY/presence/LSSTCam/2025-04-16T07:03:14.565%231/0/R10_S20"
#~ 200
#> {"error": false, "present": true, "uri": "s3://rubinobs-raw-lsstcam/LSSTCam/20250415/MC_O_20250415_000228/MC_O_20250415_000228_R10_S20.fits"}

# and forgotten
curl -sS "$ORRERY/presence/LSSTCam/2025-04-16T07:03:14.565%231/0/R10_S20"
#> 200
#> {"error": false, "present": false}
