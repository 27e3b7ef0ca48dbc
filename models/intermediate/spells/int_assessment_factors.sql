-- One row per assessment and factor: what the latest return that carries the assessment lists, even where that is less
-- than an earlier one, or nothing (definitions, section 3). Where that return has the assessment in several records,
-- their factors count together, each once.

with
assessment_records as (

    select * from {{ ref('int_assessment_records') }}
    where is_in_latest_return

),

factor_records as (

    select * from {{ ref('stg_cin__assessment_factors') }}
    where factor_code is not null

),

final as (

    select
        {{ spell_id(
            'assessment_records.child_id', 'assessment_records.referral_date', 'assessment_records.assessment_start'
        ) }} as assessment_id,
        assessment_records.la_code,
        assessment_records.child_id,
        assessment_records.referral_date,
        assessment_records.assessment_start,
        factor_records.factor_code
    from assessment_records
    inner join factor_records
        on
            assessment_records.return_id = factor_records.return_id
            and assessment_records.child_no = factor_records.child_no
            and assessment_records.referral_no = factor_records.referral_no
            and assessment_records.record_no = factor_records.record_no
    group by
        assessment_records.la_code, assessment_records.child_id, assessment_records.referral_date,
        assessment_records.assessment_start, factor_records.factor_code

)

select * from final
