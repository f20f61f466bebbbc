-- Raw flows: evidence and replay material. Daily partitions are created on demand; every other time lies in flows_default.
-- The partition key is the last instant, because a flow's count belongs to the window of its last instant.
create table flows (
  last_at timestamptz not null,
  first_at timestamptz not null,
  received_at timestamptz not null default now(),
  initiator_id bigint not null,
  responder_id bigint not null,
  digest bigint not null,
  flows bigint not null,
  cluster_id integer not null,
  port integer not null,
  initiator_port integer not null,
  protocol text not null,
  side text not null,
  observed_verdict text not null,
  orientation text not null,
  format text not null,
  initiator_ip text not null,
  responder_ip text not null,
  initiator_pod text not null,
  responder_pod text not null,
  node text not null
) partition by range (last_at);

-- A block-range index costs next to nothing per row, and flows arrive almost in time order.
create index flows_last_at_idx on flows using brin (last_at);

create table flows_default partition of flows default;
