-- One row per assessment: authority, child, referral date and assessment start. The authorisation comes from the latest
-- return that carries the assessment, even where that says it still runs; one before the start is set to the start and
-- flagged. The assessments of a referral are numbered in the order in which they were completed (definitions,
-- section 3).

with
records as (

    select * from {{ ref('int_assessment_records') }}

),

factors_counted as (

    select
        child_id,
        referral_date,
        assessment_start,
        cast(count(*) as integer) as n_factors
    from {{ ref('int_assessment_factors') }}
    group by child_id, referral_date, assessment_start

),

assessments as (

    select
        la_code,
        child_id,
        referral_date,
        assessment_start,
        max(case when is_latest then authorisation_date end) as authorisation_date_stated,
        coalesce(min(authorisation_date) <> max(authorisation_date), false) as is_authorisation_conflicting,
        cast(
            sum(case when previous_return_year is null or previous_return_year < return_year then 1 else 0 end)
            as integer
        ) as n_returns,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from records
    group by la_code, child_id, referral_date, assessment_start

),

assessments_kept as (

    select
        *,
        -- A missing authorisation stays missing: greatest() alone would pass over it.
        case
            when authorisation_date_stated is not null then greatest(authorisation_date_stated, assessment_start)
        end as authorisation_date
    from assessments

),

assessments_in_order as (

    select
        *,
        row_number() over (
            partition by child_id, referral_date
            order by
                case when authorisation_date is null then 1 else 0 end,
                authorisation_date,
                assessment_start
        ) as place_in_referral
    from assessments_kept

),

final as (

    select
        {{ spell_id('assessments.child_id', 'assessments.referral_date', 'assessments.assessment_start') }}
            as assessment_id,
        assessments.la_code,
        assessments.child_id,
        {{ spell_id('assessments.child_id', 'assessments.referral_date') }} as referral_id,
        assessments.referral_date,
        assessments.assessment_start,
        assessments.authorisation_date,
        coalesce(assessments.authorisation_date_stated < assessments.assessment_start, false)
            as is_authorised_before_start,
        assessments.authorisation_date is null as is_open_at_data_end,
        case
            when assessments.authorisation_date is not null then cast(assessments.place_in_referral as integer)
        end as completion_no,
        coalesce(factors_counted.n_factors, 0) as n_factors,
        assessments.is_authorisation_conflicting,
        assessments.n_returns,
        assessments.first_return_year,
        assessments.last_return_year
    from assessments_in_order as assessments
    left join factors_counted
        on
            assessments.child_id = factors_counted.child_id
            and assessments.referral_date = factors_counted.referral_date
            and assessments.assessment_start = factors_counted.assessment_start

)

select * from final
