-- One row per authority, return year and check of what landing found while reading: records refused, and codes outside
-- their list in records kept. Which finding belongs to which check is a row of reference.data_quality_landing_rules
-- (docs/data_quality.md). A record refused for several fields counts once in a check.

with
returns as (

    select * from {{ ref('stg_manifest__returns') }}
    where not is_superseded

),

return_counts as (

    select * from {{ ref('stg_manifest__return_counts') }}

),

rejects as (

    select * from {{ ref('stg_manifest__rejects') }}

),

unlisted_codes as (

    select * from {{ ref('stg_manifest__unlisted_codes') }}

),

rules as (

    select * from {{ ref('data_quality_landing_rules') }}

),

records_of_rules as (

    select distinct
        check_name,
        finding,
        record_type
    from rules

),

records_looked_at as (

    select
        return_counts.return_id,
        records_of_rules.check_name,
        sum(case when records_of_rules.finding = 'refused' then return_counts.n_found else return_counts.n_accepted end)
            as n_records
    from return_counts
    inner join records_of_rules
        on records_of_rules.record_type is null or return_counts.record_type = records_of_rules.record_type
    group by return_counts.return_id, records_of_rules.check_name

    union all

    select
        return_id,
        'rejected_record' as check_name,
        sum(n_found) as n_records
    from return_counts
    group by return_id

),

records_refused as (

    select
        rejects.return_id,
        rules.check_name,
        rejects.record_type,
        rejects.record_path
    from rejects
    inner join rules
        on
            rules.finding = 'refused'
            and (rules.record_type is null or rejects.record_type = rules.record_type)
            and (rules.reason_part is null or rejects.reason like '%' || rules.reason_part || '%')
    group by rejects.return_id, rules.check_name, rejects.record_type, rejects.record_path

),

findings as (

    select
        return_id,
        check_name,
        count(*) as n_failed
    from records_refused
    group by return_id, check_name

    union all

    select
        return_id,
        'rejected_record' as check_name,
        sum(n_rejected) as n_failed
    from return_counts
    group by return_id

    union all

    select
        unlisted_codes.return_id,
        rules.check_name,
        sum(unlisted_codes.n_records) as n_failed
    from unlisted_codes
    inner join rules
        on
            rules.finding = 'unlisted_code'
            and (rules.record_type is null or unlisted_codes.record_type = rules.record_type)
            and (rules.field is null or unlisted_codes.field = rules.field)
    group by unlisted_codes.return_id, rules.check_name

),

final as (

    select
        returns.la_code,
        returns.return_year,
        records_looked_at.check_name,
        cast(sum(records_looked_at.n_records) as bigint) as n_records,
        cast(sum(coalesce(findings.n_failed, 0)) as bigint) as n_failed
    from returns
    inner join records_looked_at on returns.return_id = records_looked_at.return_id
    left join findings
        on
            records_looked_at.return_id = findings.return_id
            and records_looked_at.check_name = findings.check_name
    group by returns.la_code, returns.return_year, records_looked_at.check_name
    having sum(records_looked_at.n_records) > 0

)

select * from final
