# The supernode's own nodes: they watch what comes of the sites, and answer look-ups for all of them. Two, on different machines: both
# watch, and the first by name whose keeper runs does what is to be done. A canary needs a third machine.
role = {
  name    = "keepers"
  actors  = "keeper,presence"
  canary  = 1
  apart   = true
  scratch = false
  query   = ""
  cpu     = 500
  memory  = 768
}
