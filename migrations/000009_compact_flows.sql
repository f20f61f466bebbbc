-- Raw flows in at most 90 bytes each: ends are interned, words are one number, addresses of pods live with the end.

-- Ends of raw flows. id is the first 64 bits of SHA-256 over "identity id, address, pod, node", each but the last followed by a newline. address and
-- pod are those of pods only: other ends (the world) have too many, so theirs stand in the flow. node is the one that reported, where it reported for
-- this end. last_day is the latest UTC day of a flow that uses the row, so that it can go when those flows have gone.
create table flow_ends (
  cluster_id integer not null,
  id bigint not null,
  identity_id bigint not null,
  last_day date not null,
  ip text not null,
  pod text not null,
  node text not null,
  constraint flow_ends_pkey primary key (cluster_id, id)
) with (fillfactor = 80); -- last_day is raised once a day per row: room for that on the same page (a HOT update) leaves the index alone.

alter table flows rename to flows_wide;
alter table flows_default rename to flows_wide_default;
drop index flows_last_at_idx;
do $$
declare partition_name text;
begin
  -- Their names are wanted for the partitions of the new table.
  for partition_name in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'flows_wide'::regclass and c.relname ~ '^flows_\d{8}$' loop
    execute format('alter table %I rename to %I', partition_name, 'old_' || partition_name);
  end loop;
end $$;

-- Eight-byte columns first, so that nothing is lost between them. lasted_us: last instant minus first. flows: as counted by the record, 2,147,483,647 at
-- most (edge windows hold the exact count). port and initiator_port are unsigned: add 65,536 where negative. facts: see flow_facts. addresses: for each
-- end that is no pod, the initiator's first, one byte with the length (0, 4 or 16) and the address.
create table flows (
  last_at timestamptz not null,
  initiator_end bigint not null,
  responder_end bigint not null,
  lasted_us bigint not null,
  cluster_id integer not null,
  flows integer not null,
  port smallint not null,
  initiator_port smallint not null,
  facts smallint not null,
  addresses bytea not null
) partition by range (last_at);

-- A block-range index costs next to nothing per row, and flows arrive almost in time order.
create index flows_last_at_idx on flows using brin (last_at);
create table flows_default partition of flows default;

-- The words of flows.facts, in the order of core/flow/flow-codes.ts.
create function flow_facts(facts smallint, out protocol text, out side text, out observed_verdict text, out orientation text, out format text)
language sql immutable as $$
  select
    (array['TCP', 'UDP', 'SCTP'])[facts % 4 + 1],
    (array['client', 'server', 'unknown'])[facts / 4 % 4 + 1],
    (array['allowed', 'denied', 'audit', 'error', 'unknown'])[facts / 16 % 8 + 1],
    (array['unoriented', 'verdict-event', 'tcp-flags', 'is-reply', 'conntrack'])[facts / 128 % 8 + 1],
    (array['hubble', 'calico-enterprise', 'goldmane', 'netobserv', 'antrea', 'gke', 'aws-vpc-cni'])[facts / 1024 + 1]
$$;

-- Text of an address at a place in flows.addresses.
create function flow_address(addresses bytea, place integer) returns text
language sql immutable as $$
  select case get_byte(addresses, place)
    when 4 then host(('0.0.0.0'::inet + (('x' || encode(substring(addresses from place + 2 for 4), 'hex'))::bit(32)::bigint)))
    when 16 then host(regexp_replace(encode(substring(addresses from place + 2 for 16), 'hex'), '(....)(?=.)', '\1:', 'g')::inet)
    else '' end
$$;

-- Raw flows as people read them.
create view flow_records as
select f.cluster_id, f.last_at - make_interval(secs => f.lasted_us / 1000000.0) as first_at, f.last_at,
  initiator.identity_id as initiator_id, responder.identity_id as responder_id,
  case when i.kind = 'pod' then initiator.ip else flow_address(f.addresses, 0) end as initiator_ip,
  case when r.kind = 'pod' then responder.ip
    else flow_address(f.addresses, case when i.kind = 'pod' then 0 else get_byte(f.addresses, 0) + 1 end) end as responder_ip,
  initiator.pod as initiator_pod, responder.pod as responder_pod,
  case when facts.side = 'server' then responder.node else initiator.node end as node,
  f.port & 65535 as port, f.initiator_port & 65535 as initiator_port, f.flows,
  facts.protocol, facts.side, facts.observed_verdict, facts.orientation, facts.format
from flows f
join flow_ends initiator on initiator.cluster_id = f.cluster_id and initiator.id = f.initiator_end
join flow_ends responder on responder.cluster_id = f.cluster_id and responder.id = f.responder_end
join identities i on i.cluster_id = f.cluster_id and i.id = initiator.identity_id
join identities r on r.cluster_id = f.cluster_id and r.id = responder.identity_id
cross join lateral flow_facts(f.facts) facts;

create function pg_temp.end_id(identity_id bigint, ip text, pod text, node text) returns bigint language sql immutable as $$
  select ('x' || encode(substring(sha256(convert_to(identity_id || E'\n' || ip || E'\n' || pod || E'\n' || node, 'UTF8')) for 8), 'hex'))::bit(64)::bigint
$$;
create function pg_temp.address_bytes(ip text) returns bytea language sql immutable as $$
  select case when ip = '' then '\x00'::bytea else set_byte('\x00'::bytea, 0, length(inet_send(ip::inet)) - 4) || substring(inet_send(ip::inet) from 5) end
$$;

create temporary table moved on commit drop as
select f.*,
  case when i.kind = 'pod' then f.initiator_ip else '' end as initiator_pod_ip, case when r.kind = 'pod' then f.responder_ip else '' end as responder_pod_ip,
  case when f.side = 'server' then '' else f.node end as initiator_node, case when f.side = 'server' then f.node else '' end as responder_node,
  case when i.kind = 'pod' then ''::bytea else pg_temp.address_bytes(f.initiator_ip) end
    || case when r.kind = 'pod' then ''::bytea else pg_temp.address_bytes(f.responder_ip) end as addresses
from flows_wide f
join identities i on i.cluster_id = f.cluster_id and i.id = f.initiator_id
join identities r on r.cluster_id = f.cluster_id and r.id = f.responder_id;

insert into flow_ends (cluster_id, id, identity_id, last_day, ip, pod, node)
select cluster_id, pg_temp.end_id(identity_id, ip, pod, node), identity_id, max(last_day), ip, pod, node
from (
  select cluster_id, initiator_id as identity_id, (last_at at time zone 'UTC')::date as last_day, initiator_pod_ip as ip, initiator_pod as pod, initiator_node as node from moved
  union all
  select cluster_id, responder_id, (last_at at time zone 'UTC')::date, responder_pod_ip, responder_pod, responder_node from moved
) ends
group by cluster_id, identity_id, ip, pod, node;

insert into flows (last_at, initiator_end, responder_end, lasted_us, cluster_id, flows, port, initiator_port, facts, addresses)
select last_at, pg_temp.end_id(initiator_id, initiator_pod_ip, initiator_pod, initiator_node), pg_temp.end_id(responder_id, responder_pod_ip, responder_pod, responder_node),
  (extract(epoch from last_at - first_at) * 1000000)::bigint, cluster_id, least(flows, 2147483647)::integer,
  (case when port > 32767 then port - 65536 else port end)::smallint, (case when initiator_port > 32767 then initiator_port - 65536 else initiator_port end)::smallint,
  (array_position(array['TCP', 'UDP', 'SCTP'], protocol) - 1
    + 4 * (array_position(array['client', 'server', 'unknown'], side) - 1)
    + 16 * (array_position(array['allowed', 'denied', 'audit', 'error', 'unknown'], observed_verdict) - 1)
    + 128 * (array_position(array['unoriented', 'verdict-event', 'tcp-flags', 'is-reply', 'conntrack'], orientation) - 1)
    + 1024 * (array_position(array['hubble', 'calico-enterprise', 'goldmane', 'netobserv', 'antrea', 'gke', 'aws-vpc-cni'], format) - 1))::smallint,
  addresses
from moved;

drop table flows_wide;
