# What those who ask "is it here?" rely on, as notify.sh says it. `#~` asks again until the answer is there: a file takes a moment.

# the real exposure's file is announced
curl -sS "$ORRERY/notify" -H 'Content-Type: application/json' -d @- <<JSON
{"Records": [
  {"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcam"},
   "object": {"key": "LSSTCam/20250415/MC_O_20250415_000228/MC_O_20250415_000228_R10_S20.fits", "size": 2880, "eTag": "e"}}},
  {"eventName": "ObjectCreated:Put", "opaqueData": "$SECRET", "s3": {"bucket": {"name": "rubinobs-raw-lsstcomcam"},
   "object": {"key": "LSSTComCamSim/20240321/CC_S_20240321_000093/CC_S_20240321_000093_R22_S22.fits", "size": 2880, "eTag": "e"}}}]}
JSON
#> 200

# it is here; the group's name is percent-encoded
curl -sS "$ORRERY/presence/LSSTCam/2025-04-16T07:03:14.565%231/0/R10_S20"
#~ 200
#> {"error": false, "present": true, "uri": "s3://rubinobs-raw-lsstcam/LSSTCam/20250415/MC_O_20250415_000228/MC_O_20250415_000228_R10_S20.fits"}

# asking again changes nothing, more of it encoded neither
curl -sS "$ORRERY/presence/LSSTCam/2025-04-16T07%3A03%3A14%2E565%231/00/R10_S20"
#> 200
#> {"error": false, "present": true, "uri": "s3://rubinobs-raw-lsstcam/LSSTCam/20250415/MC_O_20250415_000228/MC_O_20250415_000228_R10_S20.fits"}

# nor does what nobody reads
curl -sS "$ORRERY/presence/LSSTCam/2025-04-16T07:03:14.565%231/0/R10_S20?x=1" -H 'Accept: text/html' -H 'Connection: close'
#> 200
#> {"error": false, "present": true, "uri": "s3://rubinobs-raw-lsstcam/LSSTCam/20250415/MC_O_20250415_000228/MC_O_20250415_000228_R10_S20.fits"}

# a bucket of a profile: whoever reads the file chooses credentials by it
curl -sS "$ORRERY/presence/LSSTComCamSim/2024-03-22T03:41:54.994/0/R22_S22"
#~ 200
#> {"error": false, "present": true, "uri": "s3://embargo@rubinobs-raw-lsstcomcam/LSSTComCamSim/20240321/CC_S_20240321_000093/CC_S_20240321_000093_R22_S22.fits"}

# another snap
curl -sS "$ORRERY/presence/LSSTCam/2025-04-16T07:03:14.565%231/1/R10_S20"
#> 200
#> {"error": false, "present": false}

# another detector
curl -sS "$ORRERY/presence/LSSTCam/2025-04-16T07:03:14.565%231/0/R10_S21"
#> 200
#> {"error": false, "present": false}

# another group
curl -sS "$ORRERY/presence/LATISS/no%20such%20group/0/R00_S00"
#> 200
#> {"error": false, "present": false}

# another instrument
curl -sS "$ORRERY/presence/LSST-TS8/2025-04-16T07:03:14.565%231/0/R10_S20"
#> 200
#> {"error": false, "present": false}

# only a detector's beginning is looked at
curl -sS "$ORRERY/presence/LSSTCam/2025-04-16T07:03:14.565%231/0/R22_S11junk"
#> 200
#> {"error": false, "present": false}

# an instrument nobody knows
curl -sS "$ORRERY/presence/HSC/g/0/R22_S11"
#> 400
#> {"error": true, "message": "Unknown instrument HSC"}

# case counts
curl -sS "$ORRERY/presence/lsstcam/g/0/R22_S11"
#> 400
#> {"error": true, "message": "Unknown instrument lsstcam"}

# a guider's detector
curl -sS "$ORRERY/presence/LSSTCam/g/0/R00_SG0"
#> 400
#> {"error": true, "message": "Unrecognized detector name R00_SG0"}

# of two faults the instrument's is told
curl -sS "$ORRERY/presence/H%C3%A9/g/0/x"
#> 400
#> {"error": true, "message": "Unknown instrument Hé"}

# a snap that is no number
curl -sS "$ORRERY/presence/LSSTCam/g/first/R22_S11"
#> 404

# a snap below zero
curl -sS "$ORRERY/presence/LSSTCam/g/-1/R22_S11"
#> 404

# a snap of one and a half
curl -sS "$ORRERY/presence/LSSTCam/g/1.5/R22_S11"
#> 404

# too few parts
curl -sS "$ORRERY/presence/LSSTCam/g/0"
#> 404

# too many
curl -sS "$ORRERY/presence/LSSTCam/g/0/R22_S11/"
#> 404

# another method
curl -sS -X POST "$ORRERY/presence/LSSTCam/g/0/R22_S11"
#> 405

# whether it would be answered
curl -sS -I "$ORRERY/presence/LSSTCam/g/0/R22_S11"
#> 200
