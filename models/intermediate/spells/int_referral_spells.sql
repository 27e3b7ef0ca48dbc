-- One row per referral spell: authority, child and referral date. A closure before the referral is set to the referral
-- date and flagged; a spell open in the last return that carries it is cut at the end of that return and flagged; a
-- referral inside another open spell of the child stays a referral and is flagged (definitions, section 3).

with
referrals as (

    select * from {{ ref('int_referral_facts') }}

),

closed_after_assessment as (

    select * from {{ ref('code_groups') }}
    where code_group = 'closed_after_assessment'

),

spells as (

    select
        referrals.*,
        greatest(referrals.closure_date_stated, referrals.referral_date) as closure_date_kept,
        coalesce(referrals.closure_date_stated < referrals.referral_date, false) as is_closure_before_referral,
        closed_after_assessment.code is not null as is_closed_after_assessment
    from referrals
    left join closed_after_assessment on referrals.closure_reason = closed_after_assessment.code

),

spells_cut as (

    select
        *,
        case
            when closure_date_stated is not null then closure_date_kept
            else greatest({{ return_year_end('last_return_year') }}, referral_date)
        end as observed_until
    from spells

),

spells_with_earlier_ends as (

    select
        *,
        max(observed_until) over (
            partition by la_code, child_id
            order by referral_date
            rows between unbounded preceding and 1 preceding
        ) as latest_end_of_earlier_spells
    from spells_cut

),

final as (

    select
        referral_id,
        la_code,
        child_id,
        referral_date,
        case when closure_date_stated is not null then closure_date_kept end as closure_date,
        observed_until,
        closure_date_stated is null as is_open_at_data_end,
        closure_reason,
        is_closure_before_referral,
        referral_source,
        primary_need,
        initial_conference_date,
        is_nfa_at_referral,
        is_closed_after_assessment,
        coalesce(latest_end_of_earlier_spells > referral_date, false) as is_inside_open_spell,
        is_closure_conflicting,
        is_closure_reason_conflicting,
        is_primary_need_conflicting,
        is_nfa_conflicting,
        n_returns,
        first_return_year,
        last_return_year
    from spells_with_earlier_ends

)

select * from final
