# What a site's runners may do with their jobs' own identity: dispatch runs, follow them, end them, read their logs.
#
#   nomad acl policy apply -namespace default -job orrery-SITE-runners orrery-SITE-runners acl/runners.policy.hcl
namespace "default" {
  capabilities = ["list-jobs", "read-job", "dispatch-job", "submit-job", "read-logs"]
}
