# One run, dispatched by a runner's nomad driver: `nomad job run` registers it, and nothing runs until then.
#
#   nomad job run -var-file=vars/SITE.hcl run.nomad.hcl
#
# The payload is the try's id and nothing else: what is to be done stands in a ticket of that name on the scratch file
# system, which only runners write. So who may dispatch, and cannot write there, can start nothing.

variable "site" {
  type = object({
    name        = string
    datacenters = list(string)
    driver      = string
    image       = string
    program     = string
    user        = string
    scratch     = string
    run         = object({ cpu = number, memory = number })
  })
}

locals {
  id      = "orrery-${var.site.name}-run"
  docker  = var.site.driver == "docker"
  volumes = var.site.driver != "raw_exec" ? ["scratch"] : []
  args    = ["run-task", "--folder", "${var.site.scratch}/nomad", "$${NOMAD_TASK_DIR}/try"]
}

job "orrery-run" {
  id          = local.id
  name        = local.id
  datacenters = var.site.datacenters
  type        = "batch"
  priority    = 50

  parameterized {
    payload       = "required"
    meta_required = ["owner"]
  }

  group "run" {
    count = 1

    # The runner decides whether a run is tried again: Nomad must not.
    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    disconnect {
      lost_after = "1h"
      replace    = false
      reconcile  = "keep_original"
    }

    dynamic "volume" {
      for_each = local.volumes
      labels   = [volume.value]

      content {
        type   = "host"
        source = "orrery-scratch"
      }
    }

    task "run" {
      driver = var.site.driver
      user   = var.site.user

      # SIGTERM ends the command gently, then by force, and leaves word of it.
      kill_signal  = "SIGTERM"
      kill_timeout = "15s"

      dynamic "config" {
        for_each = local.docker ? [var.site.image] : []

        content {
          image        = config.value
          args         = local.args
          init         = true
          cap_drop     = ["all"]
          security_opt = ["no-new-privileges"]
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

      dispatch_payload {
        file = "try"
      }

      logs {
        max_files     = 2
        max_file_size = 5
      }

      resources {
        cpu    = var.site.run.cpu
        memory = var.site.run.memory
      }
    }
  }
}
