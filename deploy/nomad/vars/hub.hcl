# The supernode as a site, for its own nodes: node.nomad.hcl with roles/keepers.hcl. Its servers have vars/supernode.hcl.
site = {
  name        = "hub"
  datacenters = ["hub"]

  driver  = "docker"
  image   = "registry.example.org/orrery:0.1.0"
  program = "/usr/local/bin/orrery"
  user    = "1000:1000"

  site_file = "sites/hub.yaml"

  # Its nodes read no files and have no runs: credentials and authority are all that they are given.
  secrets = {}
  scratch = ""

  nodes = { keepers = { min = 2, max = 2 } }
}
