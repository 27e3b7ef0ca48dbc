-- One row per programme, index event, child and sequence, with everything known at the index date: treatment, the
-- child's characteristics, and the authority's: shares and population of the last quarter that ended before it, and
-- whether another innovation programme ran (definitions, sections 4 and 6).

with
index_children as (

    select * from {{ ref('int_index_children') }}

),

treatment as (

    select * from {{ ref('int_index_treatment') }}

),

la_quarter_covariates as (

    select * from {{ ref('int_la_quarter_covariates') }}

),

programmes as (

    select * from {{ ref('programmes') }}

),

other_programmes as (

    select * from {{ ref('other_programmes') }}

),

authority_days_with_other_programme as (

    select distinct
        index_children.programme,
        index_children.la_code,
        index_children.index_date
    from index_children
    inner join programmes on index_children.programme = programmes.programme
    inner join other_programmes
        on
            index_children.la_code = other_programmes.la_code
            and programmes.programme_name <> other_programmes.other_programme
            and index_children.index_date >= other_programmes.started_on
            and (other_programmes.ended_on is null or index_children.index_date <= other_programmes.ended_on)

),

final as (

    select
        index_children.programme,
        index_children.index_event,
        index_children.child_id,
        index_children.sequence,
        index_children.la_code,
        index_children.index_date,
        case index_children.index_event
            when 'care_period' then {{ spell_id('index_children.child_id', 'index_children.index_date') }}
            when 'assessment'
                then {{ spell_id(
                    'index_children.child_id', 'index_children.referral_date', 'index_children.index_date'
                ) }}
            else {{ spell_id('index_children.child_id', 'index_children.referral_date') }}
        end as event_id,
        {{ spell_id('index_children.child_id', 'index_children.referral_date') }} as referral_id,
        index_children.age_at_index,
        index_children.age_in_months_at_index,
        index_children.is_unborn_at_index,
        index_children.financial_year,
        index_children.quarter_start,
        index_children.go_live_date is not null as is_treated_authority,
        index_children.go_live_date,
        coalesce(treatment.is_treated, false) as is_treated,
        coalesce(treatment.exposure_months, 0) as exposure_months,
        treatment.n_open_days,
        treatment.n_open_days_after_go_live,
        coalesce(treatment.is_treated_by_share, false) as is_treated_by_share,
        coalesce(treatment.is_treated_by_days, false) as is_treated_by_days,
        index_children.gender,
        index_children.ethnicity,
        index_children.ethnic_group_major,
        index_children.is_disabled,
        index_children.is_disabled_by_index,
        index_children.is_uasc,
        index_children.is_uasc_by_index,
        index_children.fsm_regression,
        index_children.fsm_cem,
        index_children.n_previous_plans,
        index_children.has_previous_plan,
        index_children.is_plan_lookback_limited,
        index_children.primary_need,
        index_children.is_in_care_at_index,
        index_children.has_pupil_link,
        index_children.is_pupil_in_two_authorities,
        la_quarter_covariates.la_share_fsm,
        la_quarter_covariates.la_share_white_british,
        la_quarter_covariates.la_n_children,
        authority_days_with_other_programme.la_code is not null as has_other_programme
    from index_children
    left join treatment on index_children.index_event_no = treatment.index_event_no
    left join la_quarter_covariates
        on
            index_children.programme = la_quarter_covariates.programme
            and index_children.index_event = la_quarter_covariates.index_event
            and index_children.la_code = la_quarter_covariates.la_code
            and {{ previous_quarter('index_children.quarter_start') }} = la_quarter_covariates.quarter_start
    left join authority_days_with_other_programme
        on
            index_children.programme = authority_days_with_other_programme.programme
            and index_children.la_code = authority_days_with_other_programme.la_code
            and index_children.index_date = authority_days_with_other_programme.index_date

)

select * from final
