# Everything in which one site differs from another. The same file goes to each of a site's jobs; a job declares those of the
# fields that it uses.
site = {
  name        = "summit"
  datacenters = ["summit"]

  # Its nodes and runs: docker; exec or raw_exec run `program`, of hosts that have it, as `user`, which is then a name. A file that differs in
  # nothing else makes another set of jobs, where some hosts have an engine and some have none.
  driver  = "docker"
  image   = "registry.example.org/orrery:0.1.0"
  program = "/usr/local/bin/orrery"
  user    = "1000:1000"

  # As seen from the folder of the job files.
  site_file = "sites/summit.yaml"

  # What it reads from secrets/ beside node.creds and ca.pem, which every node has: files, and the items that they hold of the Nomad
  # variable of each of its jobs.
  secrets = { "s3.id" = "s3_id", "s3.key" = "s3_key", "notify" = "notify" }

  # On a file system that the runners and all hosts of runs share, under one path.
  scratch = "/scratch/orrery"

  # Its nats-server: one, on the host that has its volume.
  nats_image = "nats:2.15.2-alpine"
  server     = { host = "summit-1", store = "500GB" }
  supernode  = ["hub-a.example.org", "hub-b.example.org", "hub-c.example.org"]

  # How many nodes of each role. Where min is max the autoscaler has nothing to do.
  nodes = {
    front     = { min = 2, max = 2 }
    ingesters = { min = 1, max = 6 }
    followers = { min = 2, max = 2 }
    runners   = { min = 1, max = 8 }
  }

  # What one run may use, MHz and MB.
  run = { cpu = 2000, memory = 4096 }
}
