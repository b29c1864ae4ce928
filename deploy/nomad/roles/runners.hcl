# They take ready runs and have them executed, each as many at once as the lanes have workers; a node per 8 runs that are
# ready or in hand. Replaced one by one: a run in hand of a node that ends is begun anew elsewhere.
role = {
  name    = "runners"
  actors  = "runner"
  canary  = 0
  apart   = false
  scratch = true
  query   = "ceil(sum(max by (lane) (orrery_runs_backlog{site=\"SITE\"})) / 8)"
  cpu     = 500
  memory  = 512
}
