# The nodes of one role at one site, or at the supernode. All roles are the same program, so their job exists once; a role is a file of what
# differs:
#
#   nomad job run -var-file=vars/SITE.hcl -var-file=roles/ROLE.hcl node.nomad.hcl
#
# HCL has no include: a job file cannot take a block from another. What several jobs share is therefore a variable, or one job
# with the differences as variables, as here.

variable "site" {
  type = object({
    name        = string
    datacenters = list(string)
    driver      = string
    image       = string
    program     = string
    user        = string
    site_file   = string
    scratch     = string
    secrets     = map(string)
    nodes       = map(object({ min = number, max = number }))
  })
}

variable "role" {
  type = object({
    name    = string
    actors  = string
    canary  = number
    apart   = bool
    scratch = bool
    query   = string
    cpu     = number
    memory  = number
  })
}

locals {
  id     = "orrery-${var.site.name}-${var.role.name}"
  nodes  = var.site.nodes[var.role.name]
  docker = var.site.driver == "docker"

  # raw_exec sees the host's own folders, and takes no volumes.
  volumes = var.role.scratch && var.site.driver != "raw_exec" ? ["scratch"] : []

  args = ["start", "$${NOMAD_TASK_DIR}/site.yaml", "--http-port", "$${NOMAD_PORT_http}"]

  # Files under secrets/, and the items of the job's own Nomad variable that they hold: those of every node, and the site's.
  always  = { "node.creds" = "credentials", "ca.pem" = "ca" }
  secrets = merge(local.always, var.site.secrets)
}

job "orrery-node" {
  id          = local.id
  name        = local.id
  datacenters = var.site.datacenters
  type        = "service"
  priority    = 70

  # A node of the next version works beside those of this one. The count stays what the autoscaler made it with
  # `nomad job run -preserve-counts`.
  update {
    max_parallel      = 1
    canary            = var.role.canary
    auto_promote      = var.role.canary > 0
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "15s"
    healthy_deadline  = "3m"
    progress_deadline = "10m"
  }

  group "node" {
    count = local.nodes.min

    # The edge may be cut off from Nomad for days, and works on. A second set of nodes elsewhere would do no harm to the
    # ledger, and have nothing to do.
    disconnect {
      lost_after = "168h"
      replace    = false
      reconcile  = "keep_original"
    }

    dynamic "constraint" {
      for_each = var.role.apart ? ["distinct_hosts"] : []

      content {
        operator = constraint.value
        value    = "true"
      }
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    dynamic "scaling" {
      for_each = var.role.query == "" ? [] : [var.role.query]

      content {
        min = local.nodes.min
        max = local.nodes.max

        policy {
          cooldown            = "3m"
          evaluation_interval = "15s"

          check "backlog" {
            source = "prometheus"
            query  = replace(scaling.value, "SITE", var.site.name)

            # The query says how many. Nothing to be heard of the backlog changes nothing.
            on_error = "ignore"

            strategy "pass-through" {
              max_scale_down = 1
            }
          }
        }
      }
    }

    dynamic "volume" {
      for_each = local.volumes
      labels   = [volume.value]

      content {
        type   = "host"
        source = "orrery-scratch"
      }
    }

    # Not a fixed port: a canary may stand on the same host. What is in front (DNS, a proxy that speaks TLS) asks for the service.
    network {
      port "http" {}
    }

    service {
      name     = local.id
      port     = "http"
      provider = "nomad"
      tags     = ["orrery", "site=${var.site.name}", "role=${var.role.name}"]

      # Ready: connected, JetStream answers, each actor runs. With the link to its server cut a node is not, and is not
      # restarted for it either: it would come back to the same.
      check {
        name     = "ready"
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "3s"
      }

      check {
        name     = "alive"
        type     = "http"
        path     = "/healthz"
        interval = "10s"
        timeout  = "5s"

        check_restart {
          limit = 6
          grace = "60s"
        }
      }
    }

    task "node" {
      driver = var.site.driver
      user   = var.site.user

      # SIGTERM drains: what is in hand is given back, exit 0.
      kill_signal  = "SIGTERM"
      kill_timeout = "15s"

      # The name is the allocation's: a canary has the index of the one that it stands beside, and two nodes of one name are
      # refused. It stays when Nomad restarts the task; of a node that has gone for good the others take the claims.
      env = {
        ORRERY_NODE     = "${var.role.name}-${NOMAD_SHORT_ALLOC_ID}"
        ORRERY_ROLES    = var.role.actors
        ORRERY_DATA_DIR = var.role.scratch ? var.site.scratch : "${NOMAD_ALLOC_DIR}/data/orrery"
      }

      dynamic "config" {
        for_each = local.docker ? [var.site.image] : []

        content {
          image        = config.value
          args         = local.args
          network_mode = "host"

          # What programs of jobs and bridges leave behind is the first process's to wait for, which a node does for its own children.
          init            = true
          readonly_rootfs = true
          cap_drop        = ["all"]
          security_opt    = ["no-new-privileges"]
        }
      }

      dynamic "config" {
        for_each = local.docker ? [] : [var.site.program]

        content {
          command = config.value
          args    = local.args
        }
      }

      dynamic "volume_mount" {
        for_each = local.volumes

        content {
          volume      = volume_mount.value
          destination = var.site.scratch
        }
      }

      # As it is: delimiters that no site file has. Paths in it are relative to this folder, whatever the driver.
      template {
        destination     = "local/site.yaml"
        data            = file(var.site.site_file)
        left_delimiter  = "<<<<"
        right_delimiter = ">>>>"
        change_mode     = "restart"
        perms           = "0444"
      }

      dynamic "template" {
        for_each = local.secrets

        content {
          destination          = "secrets/${template.key}"
          data                 = "{{ with nomadVar \"nomad/jobs/${local.id}\" }}{{ .${template.value} }}{{ end }}"
          error_on_missing_key = true
          change_mode          = "restart"
          splay                = "60s"
          perms                = "0400"
          uid                  = 1000
          gid                  = 1000
        }
      }

      # For those who dispatch runs: the job's own identity, at the API that Nomad puts into the task. See acl/.
      dynamic "identity" {
        for_each = var.role.scratch ? ["file"] : []

        content {
          file        = true
          change_mode = "noop"
        }
      }

      logs {
        max_files     = 5
        max_file_size = 20
      }

      resources {
        cpu    = var.role.cpu
        memory = var.role.memory
      }
    }
  }
}
