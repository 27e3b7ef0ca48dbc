-- One row per kind of event and event from which a child may be followed, whatever the programme: a referral, the close
-- of a case without further action, an assessment, or a period of care whose start is in the data, with what decides
-- about samples (definitions, section 4).

{{ config(materialized='view') }}

with
referrals as (

    select * from {{ ref('int_index_referrals') }}

),

assessments as (

    select * from {{ ref('int_assessment_spells') }}

),

care_periods as (

    select * from {{ ref('int_care_periods') }}
    where not is_left_truncated

),

final as (

    select
        'referral' as event_kind,
        la_code,
        child_id,
        referral_date as event_date,
        referral_date,
        primary_need,
        is_nfa_at_referral,
        is_closed_after_assessment,
        previous_referral_date,
        first_completed_assessment_start,
        cast(null as string) as care_legal_status
    from referrals

    union all

    select
        'nfa' as event_kind,
        la_code,
        child_id,
        nfa_date as event_date,
        referral_date,
        primary_need,
        is_nfa_at_referral,
        is_closed_after_assessment,
        previous_referral_date,
        first_completed_assessment_start,
        cast(null as string) as care_legal_status
    from referrals
    where nfa_date is not null

    union all

    select
        'assessment' as event_kind,
        la_code,
        child_id,
        assessment_start as event_date,
        referral_date,
        cast(null as string) as primary_need,
        cast(null as boolean) as is_nfa_at_referral,
        cast(null as boolean) as is_closed_after_assessment,
        cast(null as date) as previous_referral_date,
        cast(null as date) as first_completed_assessment_start,
        cast(null as string) as care_legal_status
    from assessments

    union all

    select
        'care_period' as event_kind,
        la_code,
        child_id,
        care_start as event_date,
        cast(null as date) as referral_date,
        cast(null as string) as primary_need,
        cast(null as boolean) as is_nfa_at_referral,
        cast(null as boolean) as is_closed_after_assessment,
        cast(null as date) as previous_referral_date,
        cast(null as date) as first_completed_assessment_start,
        first_legal_status as care_legal_status
    from care_periods

)

select * from final
