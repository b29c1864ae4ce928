# What is asked from outside: notifications come in, presence is looked up. A new version takes its first requests as one
# canary beside the old one.
role = {
  name    = "front"
  actors  = "enqueuer,presence"
  canary  = 1
  apart   = false
  scratch = false
  query   = ""
  cpu     = 500
  memory  = 512
}
