# They work through the lanes, as many as the backlog asks for: one per 20,000 arrivals, pending and in hand, of the
# lane that has most. A node of the new version beside the old ones is no risk to what is known: a settle of either is refused
# where it does not fit.
role = {
  name    = "ingesters"
  actors  = "ingester"
  canary  = 1
  apart   = false
  scratch = false
  query   = "ceil(max(orrery_backlog{site=\"SITE\"}) / 20000)"
  cpu     = 1000
  memory  = 512
}
