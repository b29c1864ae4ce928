# They follow the ledger: what dead nodes left, what is due, what is ready, whom to tell. Two, so that one can go: what must be
# done once they settle among themselves in the ledger.
role = {
  name    = "followers"
  actors  = "reclaimer,resolver,notifier,visits"
  canary  = 0
  apart   = false
  scratch = false
  query   = ""
  cpu     = 500
  memory  = 768
}
