-- One row per index event and outcome of measure escalation whose child is referred again within the months allowed,
-- and within the window from that referral a child protection plan or a period of care starts, with the first such
-- start (definitions, section 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure = 'escalation'

),

referrals as (

    select * from {{ ref('int_referral_spells') }}

),

plans as (

    select * from {{ ref('int_cp_plan_spells') }}

),

care_periods as (

    select * from {{ ref('int_care_periods') }}

),

escalations as (

    select
        child_id,
        plan_start as escalated_on
    from plans

    union all

    select
        child_id,
        care_start as escalated_on
    from care_periods

),

rereferrals as (

    select
        windows.index_event_no,
        windows.outcome,
        windows.child_id,
        referrals.referral_date as window_start,
        {{ add_months('referrals.referral_date', 'windows.window_months') }} as window_end
    from windows
    inner join referrals
        on
            windows.child_id = referrals.child_id
            and windows.referral_date <> referrals.referral_date
            and {{ is_within('referrals.referral_date', 'windows.index_date', 'windows.start_within_end') }}

),

final as (

    select
        rereferrals.index_event_no,
        rereferrals.outcome,
        cast(1 as double) as value,
        min(escalations.escalated_on) as event_date
    from rereferrals
    inner join escalations
        on
            rereferrals.child_id = escalations.child_id
            and {{ is_within('escalations.escalated_on', 'rereferrals.window_start', 'rereferrals.window_end') }}
    group by rereferrals.index_event_no, rereferrals.outcome

)

select * from final
