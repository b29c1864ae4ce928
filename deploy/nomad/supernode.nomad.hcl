# The supernode: three nats-servers, one cluster, JetStream with three copies.
#
#   nomad job run -var-file=vars/supernode.hcl supernode.nomad.hcl
#
# One group of three on hosts of their own, not three groups: Nomad updates the groups of a job all at once, and a cluster whose
# three servers restart together is down. Within a group one server at a time is replaced, and the next only after the last has
# caught up. A server's name is its host's, its streams lie on a volume of that host: a new allocation takes up both.

variable "supernode" {
  type = object({
    datacenters = list(string)
    hosts       = map(string)
    nats_image  = string
    store       = string
  })
}

locals {
  id = "orrery-supernode"

  # Files under secrets/, and the items of the job's own Nomad variable that they hold.
  secrets = {
    "server.pem" = "certificate"
    "server.key" = "key"
    "ca.pem"     = "ca"
  }
}

job "orrery-supernode" {
  id          = local.id
  name        = local.id
  datacenters = var.supernode.datacenters
  type        = "service"
  priority    = 90

  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "30s"
    healthy_deadline  = "10m"
    progress_deadline = "30m"
    auto_revert       = true
    # A fourth server would take a volume that is in use: replacements come one by one, in place.
    canary = 0
  }

  group "server" {
    count = 3

    constraint {
      attribute = "${node.unique.name}"
      operator  = "set_contains_any"
      value     = join(",", keys(var.supernode.hosts))
    }

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    # A host that Nomad cannot reach may still be a member of the cluster, with its copy of every stream.
    disconnect {
      lost_after = "24h"
      replace    = false
      reconcile  = "keep_original"
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    volume "jetstream" {
      type            = "host"
      source          = "orrery-supernode"
      sticky          = true
      access_mode     = "single-node-single-writer"
      attachment_mode = "file-system"
    }

    network {
      port "client" {
        static = 4222
      }
      port "cluster" {
        static = 6222
      }
      port "leaf" {
        static = 7422
      }
      port "monitor" {
        static = 8222
      }
    }

    service {
      name     = local.id
      port     = "client"
      provider = "nomad"

      # JetStream's own health: streams and their copies have caught up, so the next server may go.
      check {
        type            = "http"
        protocol        = "https"
        tls_skip_verify = true
        port            = "monitor"
        path            = "/healthz"
        interval        = "5s"
        timeout         = "3s"
      }
    }

    task "nats" {
      driver = "docker"
      user   = "1000:1000"

      # Lame duck: clients and leaves are sent to the other servers, over 30 s, before this one ends.
      kill_signal  = "SIGUSR2"
      kill_timeout = "90s"

      config {
        image        = var.supernode.nats_image
        network_mode = "host"
        args         = ["-c", "/secrets/nats.conf"]
      }

      volume_mount {
        volume      = "jetstream"
        destination = "/data"
      }

      # As `orrery site init --supernode` writes it from nats/supernode.conf, but for names that only Nomad knows.
      template {
        destination   = "secrets/nats.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        perms         = "0400"
        uid           = 1000
        gid           = 1000
        data          = <<-CONF
          server_name: {{ env "node.unique.name" }}
          listen: 0.0.0.0:{{ env "NOMAD_PORT_client" }}
          https: {{ env "NOMAD_ADDR_monitor" }}
          # A user's JWT holds its permissions, and comes in one line.
          max_control_line: 64KB
          max_payload: 8MB
          # A connection that something on the way has forgotten is given up within half a minute.
          ping_interval: "10s"
          lame_duck_grace_period: 10s
          lame_duck_duration: 30s
          tls {
            cert_file: /secrets/server.pem
            key_file: /secrets/server.key
            ca_file: /secrets/ca.pem
          }
          jetstream {
            store_dir: /data
            domain: hub
            max_file_store: ${var.supernode.store}
            sync_interval: always
          }
          cluster {
            name: hub
            listen: 0.0.0.0:{{ env "NOMAD_PORT_cluster" }}
            no_advertise: true
            tls {
              cert_file: /secrets/server.pem
              key_file: /secrets/server.key
              ca_file: /secrets/ca.pem
              verify: true
            }
            routes: [${join(", ", [for address in values(var.supernode.hosts) : "tls://${address}:6222"])}]
          }
          leafnodes {
            listen: 0.0.0.0:{{ env "NOMAD_PORT_leaf" }}
            no_advertise: true
            tls {
              cert_file: /secrets/server.pem
              key_file: /secrets/server.key
              ca_file: /secrets/ca.pem
            }
          }
          # The servers keep accounts themselves, so that a revocation is in force everywhere at once.
          resolver: {
            type: full
            dir: /data/accounts
            allow_delete: false
            interval: "2m"
          }
          {{ with nomadVar "nomad/jobs/${local.id}" }}{{ .trust }}{{ end }}
        CONF
      }

      dynamic "template" {
        for_each = local.secrets

        content {
          destination          = "secrets/${template.key}"
          data                 = "{{ with nomadVar \"nomad/jobs/${local.id}\" }}{{ .${template.value} }}{{ end }}"
          error_on_missing_key = true

          # NATS reads them again at the SIGHUP that follows them.
          change_mode   = "signal"
          change_signal = "SIGHUP"
          perms         = "0400"
          uid           = 1000
          gid           = 1000
        }
      }

      resources {
        cpu    = 2000
        memory = 4096
      }
    }
  }
}
