-- One row per programme, index event, child and sequence, with everything known at the index date: treatment, the
-- child's characteristics, and the authority's: shares of the last quarter that ended before it, and whether another
-- innovation programme ran (definitions, sections 4 and 6).

with
index_children as (

    select * from {{ ref('int_index_children') }}

),

treatment as (

    select * from {{ ref('int_index_treatment') }}

),

la_quarter_shares as (

    select * from {{ ref('int_la_quarter_shares') }}

),

programmes as (

    select * from {{ ref('programmes') }}

),

other_programmes as (

    select * from {{ ref('other_programmes') }}

),

events_with_other_programme as (

    select distinct
        index_children.programme,
        index_children.index_event,
        index_children.child_id,
        index_children.sequence
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
        index_children.referral_id,
        index_children.age_at_index,
        index_children.is_unborn_at_index,
        index_children.financial_year,
        index_children.quarter_start,
        treatment.is_treated_authority,
        treatment.go_live_date,
        treatment.is_treated,
        treatment.exposure_months,
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
        la_quarter_shares.la_share_fsm,
        la_quarter_shares.la_share_white_british,
        events_with_other_programme.child_id is not null as has_other_programme
    from index_children
    inner join treatment
        on
            index_children.programme = treatment.programme
            and index_children.index_event = treatment.index_event
            and index_children.child_id = treatment.child_id
            and index_children.sequence = treatment.sequence
    left join la_quarter_shares
        on
            index_children.programme = la_quarter_shares.programme
            and index_children.la_code = la_quarter_shares.la_code
            and {{ add_months('index_children.quarter_start', '-3') }} = la_quarter_shares.quarter_start
    left join events_with_other_programme
        on
            index_children.programme = events_with_other_programme.programme
            and index_children.index_event = events_with_other_programme.index_event
            and index_children.child_id = events_with_other_programme.child_id
            and index_children.sequence = events_with_other_programme.sequence

)

select * from final
