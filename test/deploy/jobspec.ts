/**
 * Nomad's job specification as data: which blocks and attributes a block may hold, and of what kind a value is. From the struct tags
 * of Nomad's own `api` package, version 2.0; what it marks as deprecated is left out, and so refused.
 */

/**
 * `text`, `number`, `flag`, `duration`, `texts` (a list), `map` (a block or an object of one's own names), or `a|b|c`: one of these
 * words.
 */
export type Kind = string;

export interface Level {
  /** How many labels its blocks have. */
  readonly labels: number;
  readonly attributes: Readonly<Record<string, Kind>>;
  readonly required: ReadonlyArray<string>;
  /** Type of block to name of its level; once: at most one of them. */
  readonly blocks: Readonly<Record<string, { readonly level: string; readonly once: boolean }>>;
  /** Whatever else stands in it is somebody else's business. */
  readonly open: boolean;
}

interface Short {
  readonly labels?: number;
  readonly texts?: string;
  readonly numbers?: string;
  readonly flags?: string;
  readonly durations?: string;
  readonly lists?: string;
  readonly maps?: string;
  readonly words?: Readonly<Record<string, string>>;
  readonly required?: string;
  /** `name` is at most one, `name*` any number; `name:level` where the level has another name. */
  readonly blocks?: string;
  readonly open?: boolean;
}

const split = (text: string | undefined): ReadonlyArray<string> => text?.split(" ").filter(Boolean) ?? [];

function level(short: Short): Level {
  const kinds = {
    text: short.texts,
    number: short.numbers,
    flag: short.flags,
    duration: short.durations,
    texts: short.lists,
    map: short.maps,
  };
  const attributes: Record<string, Kind> = { ...short.words };
  for (const [kind, names] of Object.entries(kinds)) for (const name of split(names)) attributes[name] = kind;
  const blocks: Record<string, { level: string; once: boolean }> = {};
  for (const each of split(short.blocks)) {
    const [name = "", at = name] = each.replace("*", "").split(":");
    blocks[name] = { level: at, once: !each.includes("*") };
  }
  // A map may be written as a block of that name.
  for (const name of split(short.maps)) blocks[name] ??= { level: "map", once: true };
  const { labels = 0, required, open = false } = short;
  return { labels, attributes, required: split(required), blocks, open };
}

const operators =
  "=|==|is|!=|not|>|>=|<|<=|distinct_hosts|distinct_property|regexp|set_contains|set_contains_any|set_contains_all|version|semver|is_set|is_not_set";
const shorthands =
  "attribute value regexp version semver set_contains set_contains_any set_contains_all distinct_property is_set is_not_set";

export const levels: Readonly<Record<string, Level>> = {
  file: level({ blocks: "variable* variables* locals* job" }),
  variable: level({
    labels: 1,
    texts: "description",
    maps: "",
    words: { type: "any", default: "any" },
    blocks: "validation*",
  }),
  variables: level({ open: true }),
  locals: level({ open: true }),
  map: level({ open: true }),
  validation: level({
    words: { condition: "any" },
    texts: "error_message",
    required: "condition error_message",
  }),

  job: level({
    labels: 1,
    texts: "id name region namespace node_pool",
    numbers: "priority",
    flags: "all_at_once",
    lists: "datacenters",
    maps: "meta",
    words: { type: "service|batch|system|sysbatch" },
    blocks:
      "group* constraint* affinity* spread* update periodic parameterized reschedule migrate ui vault secret*",
  }),
  group: level({
    labels: 1,
    numbers: "count",
    durations: "shutdown_delay",
    flags: "prevent_reschedule_on_lost",
    maps: "meta",
    blocks:
      "task* constraint* affinity* spread* volume* restart disconnect reschedule ephemeral_disk update migrate network* service* scaling consul vault secret*",
    required: "task",
  }),
  task: level({
    labels: 1,
    texts: "driver user kill_signal kind",
    durations: "kill_timeout shutdown_delay",
    flags: "leader",
    maps: "env meta",
    required: "driver",
    blocks:
      "lifecycle config constraint* affinity* service* resources restart logs artifact* vault consul template* dispatch_payload volume_mount* csi_plugin scaling*:task_scaling secret* identity* action* schedule:map",
  }),

  update: level({
    numbers: "max_parallel canary",
    durations: "stagger min_healthy_time healthy_deadline progress_deadline",
    flags: "auto_revert auto_promote",
    words: { health_check: "checks|task_states|manual" },
  }),
  migrate: level({
    numbers: "max_parallel",
    durations: "min_healthy_time healthy_deadline",
    words: { health_check: "checks|task_states" },
  }),
  restart: level({
    numbers: "attempts",
    durations: "interval delay",
    flags: "render_templates",
    words: { mode: "delay|fail" },
  }),
  reschedule: level({
    numbers: "attempts",
    durations: "interval delay max_delay",
    flags: "unlimited",
    words: { delay_function: "constant|exponential|fibonacci" },
  }),
  disconnect: level({
    durations: "lost_after stop_on_client_after",
    flags: "replace",
    words: { reconcile: "keep_original|keep_replacement|best_score|longest_running" },
  }),
  periodic: level({ texts: "cron time_zone", lists: "crons", flags: "enabled prohibit_overlap" }),
  parameterized: level({
    lists: "meta_required meta_optional",
    words: { payload: "optional|required|forbidden" },
  }),
  constraint: level({ texts: shorthands, flags: "distinct_hosts", words: { operator: operators } }),
  affinity: level({ texts: shorthands, numbers: "weight", words: { operator: operators } }),
  spread: level({ texts: "attribute", numbers: "weight", blocks: "target*" }),
  target: level({ labels: 1, numbers: "percent" }),
  ui: level({ texts: "description", blocks: "link*" }),
  link: level({ texts: "label url" }),

  ephemeral_disk: level({ flags: "sticky migrate", numbers: "size" }),
  volume: level({
    labels: 1,
    texts: "source",
    flags: "read_only sticky per_alloc",
    words: {
      type: "host|csi",
      access_mode:
        "single-node-reader-only|single-node-writer|single-node-single-writer|single-node-multi-writer|multi-node-reader-only|multi-node-single-writer|multi-node-multi-writer",
      attachment_mode: "file-system|block-device",
    },
    blocks: "mount_options",
    required: "type source",
  }),
  mount_options: level({ texts: "fs_type", lists: "mount_flags" }),
  volume_mount: level({
    texts: "volume destination selinux_label",
    flags: "read_only",
    words: { propagation_mode: "private|host-to-task|bidirectional" },
    required: "volume destination",
  }),
  network: level({ texts: "mode hostname", blocks: "port* dns cni" }),
  port: level({ labels: 1, numbers: "static to", texts: "host_network", flags: "ignore_collision" }),
  dns: level({ lists: "servers searches options" }),
  cni: level({ maps: "args" }),
  service: level({
    texts: "name port address task cluster kind",
    lists: "tags canary_tags",
    flags: "enable_tag_override",
    maps: "meta canary_meta tagged_addresses",
    words: {
      provider: "nomad|consul",
      address_mode: "alloc|alloc_ipv6|auto|driver|host",
      on_update: "require_healthy|ignore_warnings|ignore",
    },
    blocks: "check* check_restart connect:map identity weights",
    required: "name port provider",
  }),
  check: level({
    texts: "name command path port advertise notes tls_server_name grpc_service task body method",
    lists: "args",
    durations: "interval timeout",
    flags: "expose tls_skip_verify grpc_use_tls",
    numbers: "success_before_passing failures_before_critical failures_before_warning",
    maps: "header",
    words: {
      type: "http|tcp|grpc|script",
      protocol: "http|https",
      address_mode: "alloc|driver|host",
      initial_status: "passing|warning|critical",
      on_update: "require_healthy|ignore_warnings|ignore",
    },
    blocks: "check_restart",
    required: "type interval timeout",
  }),
  check_restart: level({ numbers: "limit", durations: "grace", flags: "ignore_warnings" }),
  weights: level({ numbers: "passing warning" }),
  consul: level({ texts: "namespace cluster partition" }),
  vault: level({
    lists: "policies",
    texts: "role namespace cluster change_signal",
    flags: "env disable_file allow_token_expiration",
    words: { change_mode: "noop|restart|signal" },
  }),
  secret: level({ labels: 1, texts: "provider path", maps: "config env" }),
  identity: level({
    texts: "name filepath service_name change_signal",
    lists: "aud extra_claims",
    flags: "env file",
    durations: "ttl",
    words: { change_mode: "noop|restart|signal" },
  }),

  scaling: level({ numbers: "min max", flags: "enabled", blocks: "policy", required: "max" }),
  task_scaling: level({ labels: 1, numbers: "min max", flags: "enabled", blocks: "policy", required: "max" }),
  policy: level({
    durations: "cooldown cooldown_on_scale_up evaluation_interval",
    words: { on_check_error: "fail|ignore" },
    blocks: "check*:scaling_check target*:scaling_target",
  }),
  scaling_check: level({
    labels: 1,
    texts: "source query group",
    durations: "query_window query_window_offset",
    words: { on_error: "fail|ignore" },
    blocks: "strategy",
    required: "source query strategy",
  }),
  strategy: level({ labels: 1, open: true }),
  scaling_target: level({ labels: 1, open: true }),

  lifecycle: level({
    flags: "sidecar",
    words: { hook: "prestart|poststart|poststop" },
    required: "hook",
  }),
  resources: level({ numbers: "cpu cores memory memory_max secrets", blocks: "device* numa" }),
  device: level({ labels: 1, numbers: "count", blocks: "constraint* affinity*" }),
  numa: level({ texts: "affinity", lists: "devices" }),
  logs: level({ numbers: "max_files max_file_size", flags: "disabled" }),
  artifact: level({
    texts: "source destination",
    flags: "insecure chown",
    maps: "options headers",
    words: { mode: "any|file|dir" },
    required: "source",
  }),
  template: level({
    texts: "source destination data change_signal perms left_delimiter right_delimiter",
    flags: "env error_on_missing_key once",
    durations: "splay",
    numbers: "uid gid",
    words: { change_mode: "noop|restart|signal|script" },
    blocks: "wait change_script",
    required: "destination",
  }),
  wait: level({ durations: "min max" }),
  change_script: level({
    texts: "command",
    lists: "args",
    durations: "timeout",
    flags: "fail_on_error run_on_first_render",
    required: "command",
  }),
  dispatch_payload: level({ texts: "file", required: "file" }),
  csi_plugin: level({
    texts: "id mount_dir stage_publish_base_dir",
    durations: "health_timeout",
    words: { type: "node|controller|monolith" },
  }),
  action: level({ labels: 1, texts: "command", lists: "args", required: "command" }),
  config: level({ open: true }),

  "config docker": level({
    texts:
      "image command cgroupns cpuset_cpus hostname image_pull_timeout ipc_mode ipv4_address ipv6_address isolation load mac_address network_mode pid_mode runtime userns_mode uts_mode volume_driver work_dir",
    lists:
      "args cap_add cap_drop dns_options dns_search_domains dns_servers entrypoint extra_hosts group_add network_aliases ports security_opt volumes",
    numbers: "container_exists_attempts cpu_cfs_period memory_hard_limit oom_score_adj pids_limit shm_size",
    flags:
      "advertise_ipv6_address auth_soft_fail cpu_hard_limit force_pull init interactive privileged readonly_rootfs tty",
    maps: "labels storage_opt sysctl ulimit",
    blocks: "auth:map devices*:map healthchecks:map logging:map mount*:map",
    required: "image",
  }),
  "config exec": level({
    texts: "command work_dir pid_mode ipc_mode",
    lists: "args cap_add cap_drop",
    required: "command",
  }),
  "config raw_exec": level({
    texts: "command work_dir cgroup_v2_override",
    lists: "args denied_envvars",
    numbers: "oom_score_adj",
    maps: "cgroup_v1_override",
    required: "command",
  }),

  /** An access-control policy. */
  acl: level({ blocks: "namespace*:acl_namespace node:acl_simple agent:acl_simple host_volume*:acl_volume" }),
  acl_namespace: level({
    labels: 1,
    lists: "capabilities",
    words: { policy: "deny|read|write|scale" },
    blocks: "variables:acl_variables",
  }),
  acl_variables: level({ blocks: "path*:acl_path" }),
  acl_path: level({ labels: 1, lists: "capabilities" }),
  acl_volume: level({ labels: 1, lists: "capabilities", words: { policy: "deny|read|write" } }),
  acl_simple: level({ words: { policy: "deny|read|write" } }),
};

/** What a `dynamic` block holds besides its `content`. */
export const dynamicLevel = level({
  labels: 1,
  words: { for_each: "any", labels: "any", iterator: "any" },
  blocks: "content:map",
  required: "for_each content",
});
