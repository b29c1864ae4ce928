# A site's own nats-server: it works alone, and joins the supernode as a leaf.
#
#   nomad job run -var-file=vars/SITE.hcl site-server.nomad.hcl
#
# One server on one host, whose volume it keeps: what a site has accepted is there.

variable "site" {
  type = object({
    name        = string
    datacenters = list(string)
    nats_image  = string
    server      = object({ host = string, store = string })
    supernode   = list(string)
  })
}

locals {
  id = "orrery-${var.site.name}-server"

  # Files under secrets/, and the items of the job's own Nomad variable that they hold.
  secrets = {
    "server.pem" = "certificate"
    "server.key" = "key"
    "ca.pem"     = "ca"
    "leaf.creds" = "leaf"
  }
}

job "orrery-server" {
  id          = local.id
  name        = local.id
  datacenters = var.site.datacenters
  type        = "service"
  priority    = 90

  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    auto_revert       = true
    # Two servers cannot have one volume.
    canary = 0
  }

  group "server" {
    count = 1

    constraint {
      attribute = "${node.unique.name}"
      value     = var.site.server.host
    }

    # The edge may be cut off from Nomad for days, and works on.
    disconnect {
      lost_after = "168h"
      replace    = false
      reconcile  = "keep_original"
    }

    restart {
      attempts = 20
      interval = "10m"
      delay    = "2s"
      mode     = "delay"
    }

    volume "jetstream" {
      type            = "host"
      source          = "orrery-site"
      sticky          = true
      access_mode     = "single-node-single-writer"
      attachment_mode = "file-system"
    }

    network {
      port "client" {
        static = 4222
      }
      port "monitor" {
        static = 8222
      }
    }

    service {
      name     = local.id
      port     = "client"
      provider = "nomad"

      check {
        type            = "http"
        protocol        = "https"
        tls_skip_verify = true
        port            = "monitor"
        path            = "/healthz?js-enabled-only=true"
        interval        = "5s"
        timeout         = "3s"
      }
    }

    task "nats" {
      driver       = "docker"
      user         = "1000:1000"
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      config {
        image        = var.site.nats_image
        network_mode = "host"
        args         = ["-c", "/secrets/nats.conf"]
      }

      volume_mount {
        volume      = "jetstream"
        destination = "/data"
      }

      # As `orrery site init` writes it from nats/site.conf and nats/leaf.conf, but for names that only Nomad knows.
      template {
        destination   = "secrets/nats.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        perms         = "0400"
        uid           = 1000
        gid           = 1000
        data          = <<-CONF
          server_name: ${var.site.name}
          # A user's JWT holds its permissions, and comes in one line.
          max_control_line: 64KB
          resolver: MEMORY
          listen: 0.0.0.0:{{ env "NOMAD_PORT_client" }}
          https: {{ env "NOMAD_ADDR_monitor" }}
          max_payload: 8MB
          # A connection that something on the way has forgotten is given up within half a minute.
          ping_interval: "10s"
          tls {
            cert_file: /secrets/server.pem
            key_file: /secrets/server.key
            ca_file: /secrets/ca.pem
          }
          jetstream {
            store_dir: /data
            domain: ${var.site.name}
            max_file_store: ${var.site.server.store}
            # Every accepted file is on disk before it is answered for.
            sync_interval: always
          }
          # What it may hear of the supernode are answers about its own consumers there.
          feature_flags { js_api_reply_v2: true }
          {{ with nomadVar "nomad/jobs/${local.id}" }}{{ .trust }}{{ end }}
          leafnodes {
            remotes: [
              {
                urls: [${join(", ", [for host in var.site.supernode : "tls://${host}:7422"])}]
                account: {{ with nomadVar "nomad/jobs/${local.id}" }}{{ .account }}{{ end }}
                credentials: /secrets/leaf.creds
                tls { ca_file: /secrets/ca.pem }
              }
            ]
          }
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
        cpu    = 1000
        memory = 2048
      }
    }
  }
}
