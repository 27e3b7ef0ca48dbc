-- One row per index event and outcome of measure rereferral with another referral of the child in the window, with the
-- first such date (definitions, section 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure = 'rereferral'

),

referrals as (

    select * from {{ ref('int_referral_spells') }}

),

final as (

    select
        windows.index_event_no,
        windows.outcome,
        cast(1 as double) as value,
        min(referrals.referral_date) as event_date
    from windows
    inner join referrals
        on
            windows.child_id = referrals.child_id
            and windows.referral_date <> referrals.referral_date
            and {{ is_within('referrals.referral_date', 'windows.index_date', 'windows.follow_up_end') }}
    group by windows.index_event_no, windows.outcome

)

select * from final
