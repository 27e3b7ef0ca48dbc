-- One row per authority, return year and check: how many records were looked at, how many failed, and whether that is
-- enough to doubt the authority, by the thresholds of reference.data_quality_checks. Authority is null for the national
-- school tables. A check says what was found; it stops nothing (docs/data_quality.md).

with
checks as (

    select * from {{ ref('data_quality_checks') }}

),

jumps as (

    select
        la_code,
        return_year,
        'jump_in_' || kind as check_name,
        cast(1 as bigint) as n_records,
        cast(case when is_jump then 1 else 0 end as bigint) as n_failed
    from {{ ref('int_quality_jumps') }}
    where is_jump is not null

),

findings as (

    {% for subject in [
        'int_quality_returns', 'int_quality_landing', 'int_quality_children', 'int_quality_referrals',
        'int_quality_assessments', 'int_quality_plans', 'int_quality_care', 'int_quality_care_records',
    ] %}
    select
        la_code,
        return_year,
        check_name,
        n_records,
        n_failed
    from {{ ref(subject) }}
    union all
    {% endfor %}
    select
        la_code,
        return_year,
        check_name,
        n_records,
        n_failed
    from jumps

),

final as (

    select
        findings.la_code,
        findings.return_year,
        findings.check_name,
        findings.n_records,
        findings.n_failed,
        checks.severity,
        coalesce(
            findings.n_failed >= checks.doubt_failed_min
            and findings.n_failed >= checks.doubt_share_min * findings.n_records,
            false
        ) as is_over_threshold,
        coalesce(
            findings.n_failed >= checks.doubt_failed_min
            and findings.n_failed >= checks.doubt_share_min * findings.n_records
            and checks.severity <> 'info',
            false
        ) as is_in_doubt
    from findings
    left join checks on findings.check_name = checks.check_name

)

select * from final
