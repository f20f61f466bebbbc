-- Dead letters of Kafka topics are copied into a dead-letter topic, where one is configured.
alter table rejections add column is_forwarded boolean not null default false;
create index rejections_unforwarded_idx on rejections (id) where not is_forwarded and source like 'kafka:%';
