table cluster_state_heads column cluster_id integer not null
table cluster_state_heads column confirmed_until timestamp with time zone not null
table cluster_state_heads column revision bigint not null
table cluster_state_spans column cluster_id integer not null
table cluster_state_spans column source text not null
table cluster_state_spans column covered_from timestamp with time zone not null
table cluster_state_spans column covered_until timestamp with time zone not null
table cluster_state_spans column objects integer not null
table cluster_state_spans column is_complete boolean not null
table cluster_state_spans column digest text not null
table cluster_state_spans column saved_at timestamp with time zone not null default now()
table cluster_state_versions column id bigint not null identity
table cluster_state_versions column valid_from timestamp with time zone not null
table cluster_state_versions column confirmed_until timestamp with time zone
table cluster_state_versions column valid_to timestamp with time zone
table cluster_state_versions column holds_from timestamp with time zone not null
table cluster_state_versions column cluster_id integer not null
table cluster_state_versions column kind text not null
table cluster_state_versions column namespace text not null
table cluster_state_versions column name text not null
table cluster_state_versions column instance text not null
table cluster_state_versions column face text not null
table cluster_state_versions column digest text not null
table cluster_state_versions column document jsonb not null
table clusters column id integer not null identity
table clusters column name text not null
table clusters column created_at timestamp with time zone not null default now()
table content_digests column cluster_id integer not null
table content_digests column digest bytea not null
table content_digests column source text not null
table content_digests column records bigint not null
table content_digests column stored_at timestamp with time zone not null default now()
table coverage_events column cluster_id integer not null
table coverage_events column at timestamp with time zone not null
table coverage_events column type text not null
table coverage_events column node text not null
table coverage_events column lost bigint not null
table coverage_events column detail text not null
table edge_day_rollups column cluster_id integer not null
table edge_day_rollups column day_start timestamp with time zone not null
table edge_day_rollups column first_at timestamp with time zone not null
table edge_day_rollups column last_at timestamp with time zone not null
table edge_days column day_start timestamp with time zone not null
table edge_days column first_at timestamp with time zone not null
table edge_days column last_at timestamp with time zone not null
table edge_days column initiator_id bigint not null
table edge_days column responder_id bigint not null
table edge_days column flows bigint not null
table edge_days column cluster_id integer not null
table edge_days column port integer not null
table edge_days column initiator_port integer not null
table edge_days column evidence smallint not null
table edge_days column is_long_lived boolean not null
table edge_days column protocol text not null
table edge_days column side text not null
table edge_days column observed_verdict text not null
table edge_days column presence bit(288) not null
table edge_horizons column cluster_id integer not null
table edge_horizons column windows_before timestamp with time zone not null default '-infinity'::timestamp with time zone
table edge_horizons column hours_before timestamp with time zone not null default '-infinity'::timestamp with time zone
table edge_hour_rollups column cluster_id integer not null
table edge_hour_rollups column hour_start timestamp with time zone not null
table edge_hour_rollups column first_at timestamp with time zone not null
table edge_hour_rollups column last_at timestamp with time zone not null
table edge_hour_rollups column is_rolled boolean not null
table edge_hours column hour_start timestamp with time zone not null
table edge_hours column first_at timestamp with time zone not null
table edge_hours column last_at timestamp with time zone not null
table edge_hours column initiator_id bigint not null
table edge_hours column responder_id bigint not null
table edge_hours column flows bigint not null
table edge_hours column cluster_id integer not null
table edge_hours column port integer not null
table edge_hours column initiator_port integer not null
table edge_hours column evidence smallint not null
table edge_hours column presence smallint not null
table edge_hours column is_long_lived boolean not null
table edge_hours column protocol text not null
table edge_hours column side text not null
table edge_hours column observed_verdict text not null
table edge_window_batches column cluster_id integer not null
table edge_window_batches column window_start timestamp with time zone not null
table edge_window_batches column is_rolled boolean not null default false
table edge_windows column window_start timestamp with time zone not null
table edge_windows column first_at timestamp with time zone not null
table edge_windows column last_at timestamp with time zone not null
table edge_windows column initiator_id bigint not null
table edge_windows column responder_id bigint not null
table edge_windows column flows bigint not null
table edge_windows column cluster_id integer not null
table edge_windows column port integer not null
table edge_windows column initiator_port integer not null
table edge_windows column evidence smallint not null
table edge_windows column is_long_lived boolean not null
table edge_windows column protocol text not null
table edge_windows column side text not null
table edge_windows column observed_verdict text not null
table external_overflows column cluster_id integer not null
table external_overflows column day_start timestamp with time zone not null
table external_overflows column initiator_id bigint not null
table external_overflows column responder_id bigint not null
table external_overflows column protocol text not null
table external_overflows column port integer not null
table external_overflows column initiator_port integer not null
table external_peer_batches column cluster_id integer not null
table external_peer_batches column day_start timestamp with time zone not null
table external_peers column day_start timestamp with time zone not null
table external_peers column first_at timestamp with time zone not null
table external_peers column last_at timestamp with time zone not null
table external_peers column initiator_id bigint not null
table external_peers column responder_id bigint not null
table external_peers column flows bigint not null
table external_peers column ip_hash bigint not null
table external_peers column cluster_id integer not null
table external_peers column port integer not null
table external_peers column initiator_port integer not null
table external_peers column protocol text not null
table external_peers column side text not null
table external_peers column observed_verdict text not null
table external_peers column ip text collate C not null
table flow_ends column cluster_id integer not null
table flow_ends column id bigint not null
table flow_ends column identity_id bigint not null
table flow_ends column last_day date not null
table flow_ends column ip text not null
table flow_ends column pod text not null
table flow_ends column node text not null
table flows column last_at timestamp with time zone not null
table flows column initiator_end bigint not null
table flows column responder_end bigint not null
table flows column lasted_us bigint not null
table flows column cluster_id integer not null
table flows column flows integer not null
table flows column port smallint not null
table flows column initiator_port smallint not null
table flows column facts smallint not null
table flows column addresses bytea not null
table flows_default column last_at timestamp with time zone not null
table flows_default column initiator_end bigint not null
table flows_default column responder_end bigint not null
table flows_default column lasted_us bigint not null
table flows_default column cluster_id integer not null
table flows_default column flows integer not null
table flows_default column port smallint not null
table flows_default column initiator_port smallint not null
table flows_default column facts smallint not null
table flows_default column addresses bytea not null
table identities column cluster_id integer not null
table identities column id bigint not null
table identities column key text not null
table identities column kind text not null
table identities column namespace text not null
table identities column name text not null
table identities column workload_kind text not null
table identities column workload_name text not null
table identities column label_quality text not null
table identities column labels jsonb not null
table identities column first_stored_at timestamp with time zone not null default now()
table identity_maps column cluster_id integer not null
table identity_maps column version integer not null
table identity_maps column created_at timestamp with time zone not null
table identity_maps column content_digest text not null
table identity_maps column document json not null
table ingest_batches column id uuid not null
table ingest_batches column cluster_id integer not null
table ingest_batches column transaction_id xid8 not null default pg_current_xact_id()
table ingest_batches column first_at timestamp with time zone
table ingest_batches column last_at timestamp with time zone
table ingest_batches column committed_at timestamp with time zone not null default now()
table ingest_batches column digest_count integer not null
table ingest_batches column digests bytea not null
table ingest_limits column cluster_id integer not null
table ingest_limits column source text not null
table ingest_limits column limit_name text not null
table ingest_limits column records bigint not null
table ingest_limits column recorded_at timestamp with time zone not null default now()
table ingest_received column cluster_id integer not null
table ingest_received column source text not null
table ingest_received column records bigint not null
table ingest_received column newest_at timestamp with time zone
table ingest_received column recorded_at timestamp with time zone not null default now()
table ingest_totals column cluster_id integer not null
table ingest_totals column source text not null
table ingest_totals column format text not null
table ingest_totals column outcome text not null
table ingest_totals column reason text not null
table ingest_totals column records bigint not null
table ingest_totals column recorded_at timestamp with time zone not null default now()
table node_hour_batches column cluster_id integer not null
table node_hour_batches column hour_start timestamp with time zone not null
table node_hours column cluster_id integer not null
table node_hours column hour_start timestamp with time zone not null
table node_hours column format text not null
table node_hours column node text not null
table node_hours column flows bigint not null
table node_hours column windows smallint not null
table pod_networks column cluster_id integer not null
table pod_networks column network text not null
table pod_networks column first_stored_at timestamp with time zone not null default now()
table positions column cluster_id integer not null
table positions column source text not null
table positions column next bigint not null
table positions column fingerprint text not null
table positions column records bigint not null
table positions column updated_at timestamp with time zone not null default now()
table recommendations column id bigint not null identity
table recommendations column cluster_id integer not null
table recommendations column created_at timestamp with time zone not null
table recommendations column schema text not null
table recommendations column content_digest text not null
table recommendations column document json not null
table rejections column id bigint not null identity
table rejections column cluster_id integer not null
table rejections column source text not null
table rejections column format text not null
table rejections column reason text not null
table rejections column detail text not null
table rejections column sample text not null
table rejections column rejected_at timestamp with time zone not null default now()
table rejections column line bigint not null default 0
table rejections column byte bigint not null default 0
table rejections column is_complete boolean not null default false
table rejections column tries integer not null default 0
table rejections column is_forwarded boolean not null default false
table schema_migrations column id integer not null default nextval('schema_migrations_id_seq'::regclass)
table schema_migrations column name character varying(255) not null
table schema_migrations column run_on timestamp without time zone not null
constraint cluster_state_heads cluster_state_heads_pkey PRIMARY KEY (cluster_id)
constraint cluster_state_spans cluster_state_spans_pkey PRIMARY KEY (cluster_id, covered_from)
constraint cluster_state_versions cluster_state_versions_pkey PRIMARY KEY (cluster_id, id)
constraint clusters clusters_name_key UNIQUE (name)
constraint clusters clusters_pkey PRIMARY KEY (id)
constraint content_digests content_digests_pkey PRIMARY KEY (cluster_id, digest)
constraint coverage_events coverage_events_pkey PRIMARY KEY (cluster_id, at, type, node, lost, detail)
constraint edge_day_rollups edge_day_rollups_pkey PRIMARY KEY (cluster_id, day_start)
constraint edge_horizons edge_horizons_pkey PRIMARY KEY (cluster_id)
constraint edge_hour_rollups edge_hour_rollups_pkey PRIMARY KEY (cluster_id, hour_start)
constraint external_overflows external_overflows_pkey PRIMARY KEY (cluster_id, day_start, initiator_id, responder_id, protocol, port, initiator_port)
constraint flow_ends flow_ends_pkey PRIMARY KEY (cluster_id, id)
constraint identities identities_pkey PRIMARY KEY (cluster_id, id)
constraint identity_maps identity_maps_content_key UNIQUE (cluster_id, content_digest)
constraint identity_maps identity_maps_pkey PRIMARY KEY (cluster_id, version)
constraint ingest_batches ingest_batches_pkey PRIMARY KEY (cluster_id, id)
constraint pod_networks pod_networks_pkey PRIMARY KEY (cluster_id, network)
constraint positions positions_pkey PRIMARY KEY (cluster_id, source)
constraint recommendations recommendations_pkey PRIMARY KEY (cluster_id, id)
constraint rejections rejections_pkey PRIMARY KEY (cluster_id, id)
constraint schema_migrations schema_migrations_pkey PRIMARY KEY (id)
index CREATE INDEX cluster_state_versions_cluster_id_confirmed_until_idx ON public.cluster_state_versions USING btree (cluster_id, confirmed_until)
index CREATE INDEX cluster_state_versions_cluster_id_instance_idx ON public.cluster_state_versions USING btree (cluster_id, instance)
index CREATE INDEX content_digests_stored_at_idx ON public.content_digests USING btree (stored_at)
index CREATE INDEX edge_days_cluster_id_day_start_idx ON public.edge_days USING btree (cluster_id, day_start)
index CREATE INDEX edge_hours_cluster_id_hour_start_idx ON public.edge_hours USING btree (cluster_id, hour_start)
index CREATE INDEX edge_window_batches_cluster_id_window_start_idx ON public.edge_window_batches USING btree (cluster_id, window_start)
index CREATE INDEX edge_windows_cluster_id_window_start_idx ON public.edge_windows USING btree (cluster_id, window_start)
index CREATE INDEX external_peer_batches_cluster_id_day_start_idx ON public.external_peer_batches USING btree (cluster_id, day_start)
index CREATE INDEX external_peers_cluster_id_day_start_idx ON public.external_peers USING btree (cluster_id, day_start)
index CREATE INDEX flows_default_last_at_idx ON public.flows_default USING brin (last_at)
index CREATE INDEX flows_last_at_idx ON ONLY public.flows USING brin (last_at)
index CREATE INDEX identities_cluster_id_namespace_idx ON public.identities USING btree (cluster_id, namespace)
index CREATE INDEX ingest_batches_cluster_id_last_at_idx ON public.ingest_batches USING btree (cluster_id, last_at)
index CREATE INDEX ingest_batches_committed_at_idx ON public.ingest_batches USING btree (committed_at)
index CREATE INDEX ingest_limits_cluster_id_idx ON public.ingest_limits USING btree (cluster_id)
index CREATE INDEX ingest_received_cluster_id_idx ON public.ingest_received USING btree (cluster_id)
index CREATE INDEX ingest_totals_cluster_id_idx ON public.ingest_totals USING btree (cluster_id)
index CREATE INDEX node_hour_batches_cluster_id_hour_start_idx ON public.node_hour_batches USING btree (cluster_id, hour_start)
index CREATE INDEX node_hours_cluster_id_hour_start_idx ON public.node_hours USING btree (cluster_id, hour_start)
index CREATE INDEX recommendations_cluster_id_created_at_idx ON public.recommendations USING btree (cluster_id, created_at)
index CREATE INDEX rejections_cluster_id_rejected_at_idx ON public.rejections USING btree (cluster_id, rejected_at)
index CREATE INDEX rejections_rejected_at_idx ON public.rejections USING btree (rejected_at)
index CREATE INDEX rejections_unforwarded_idx ON public.rejections USING btree (id) WHERE ((NOT is_forwarded) AND (source ~~ 'kafka:%'::text))
index CREATE UNIQUE INDEX cluster_state_heads_pkey ON public.cluster_state_heads USING btree (cluster_id)
index CREATE UNIQUE INDEX cluster_state_spans_pkey ON public.cluster_state_spans USING btree (cluster_id, covered_from)
index CREATE UNIQUE INDEX cluster_state_versions_pkey ON public.cluster_state_versions USING btree (cluster_id, id)
index CREATE UNIQUE INDEX clusters_name_key ON public.clusters USING btree (name)
index CREATE UNIQUE INDEX clusters_pkey ON public.clusters USING btree (id)
index CREATE UNIQUE INDEX content_digests_pkey ON public.content_digests USING btree (cluster_id, digest)
index CREATE UNIQUE INDEX coverage_events_pkey ON public.coverage_events USING btree (cluster_id, at, type, node, lost, detail)
index CREATE UNIQUE INDEX edge_day_rollups_pkey ON public.edge_day_rollups USING btree (cluster_id, day_start)
index CREATE UNIQUE INDEX edge_horizons_pkey ON public.edge_horizons USING btree (cluster_id)
index CREATE UNIQUE INDEX edge_hour_rollups_pkey ON public.edge_hour_rollups USING btree (cluster_id, hour_start)
index CREATE UNIQUE INDEX external_overflows_pkey ON public.external_overflows USING btree (cluster_id, day_start, initiator_id, responder_id, protocol, port, initiator_port)
index CREATE UNIQUE INDEX flow_ends_pkey ON public.flow_ends USING btree (cluster_id, id)
index CREATE UNIQUE INDEX identities_pkey ON public.identities USING btree (cluster_id, id)
index CREATE UNIQUE INDEX identity_maps_content_key ON public.identity_maps USING btree (cluster_id, content_digest)
index CREATE UNIQUE INDEX identity_maps_pkey ON public.identity_maps USING btree (cluster_id, version)
index CREATE UNIQUE INDEX ingest_batches_pkey ON public.ingest_batches USING btree (cluster_id, id)
index CREATE UNIQUE INDEX pod_networks_pkey ON public.pod_networks USING btree (cluster_id, network)
index CREATE UNIQUE INDEX positions_pkey ON public.positions USING btree (cluster_id, source)
index CREATE UNIQUE INDEX recommendations_pkey ON public.recommendations USING btree (cluster_id, id)
index CREATE UNIQUE INDEX rejections_pkey ON public.rejections USING btree (cluster_id, id)
index CREATE UNIQUE INDEX schema_migrations_pkey ON public.schema_migrations USING btree (id)
partition flows_default of flows DEFAULT
