supernode = {
  datacenters = ["hub"]

  # Names of the three Nomad clients that carry it, and the addresses by which its servers find each other.
  hosts = {
    "hub-a" = "10.0.0.11"
    "hub-b" = "10.0.0.12"
    "hub-c" = "10.0.0.13"
  }

  # At least 2.15.1: older ones lose what Orrery rests on.
  nats_image = "nats:2.15.2-alpine"
  store      = "200GB"
}
