{#- Table meta.builds: one row per dbt invocation, so that estimation can refuse marts of a failed build.
    A row is written as failed when the invocation starts and replaced when it ends: one that is killed stays
    failed. An invocation with a selection is not a whole build and says so in `command`. -#}

{%- macro build_command() -%}
    {%- set which = invocation_args_dict.get('which') or flags.WHICH -%}
    {%- set chosen = invocation_args_dict.get('select') or invocation_args_dict.get('exclude')
        or invocation_args_dict.get('selector') -%}
    {{ which }}{{ ' (selection)' if chosen else '' }}
{%- endmacro -%}

{%- macro record_build_start() -%}
    {%- if execute -%}
    {%- do run_query('create schema if not exists meta') -%}
    {%- do run_query(
        'create table if not exists meta.builds (invocation_id varchar, finished_at timestamp, command varchar, '
        ~ 'status varchar, n_success bigint, n_failed bigint, n_skipped bigint)'
    ) -%}
    insert into meta.builds
    values ('{{ invocation_id }}', {{ now_utc() }}, '{{ build_command() }}', 'failed', 0, 0, 0)
    {%- endif -%}
{%- endmacro -%}

{%- macro record_build_end(results) -%}
    {%- if execute -%}
    {%- set counts = namespace(success=0, failed=0, skipped=0) -%}
    {#- An exposure is nothing that is built: dbt reports it as no-op. -#}
    {%- for result in results if result.node.resource_type | string != 'exposure' -%}
        {%- set status = result.status | string -%}
        {%- if status in ('success', 'pass', 'warn') -%}
            {%- set counts.success = counts.success + 1 -%}
        {%- elif status in ('skipped', 'no-op') -%}
            {%- set counts.skipped = counts.skipped + 1 -%}
        {%- else -%}
            {%- set counts.failed = counts.failed + 1 -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set status = 'success' if counts.failed == 0 and counts.skipped == 0 else 'failed' -%}
    update meta.builds
    set
        finished_at = {{ now_utc() }},
        status = '{{ status }}',
        n_success = {{ counts.success }},
        n_failed = {{ counts.failed }},
        n_skipped = {{ counts.skipped }}
    where invocation_id = '{{ invocation_id }}'
    {%- endif -%}
{%- endmacro -%}
