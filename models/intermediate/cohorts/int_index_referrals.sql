-- One row per referral spell with what makes it an index event or puts it in a sample: the day on which it ended
-- without further action, the child's referral before it, and the factors of its first completed assessment
-- (definitions, sections 4 and 5).

with
referral_spells as (

    select * from {{ ref('int_referral_spells') }}

),

first_assessments as (

    select * from {{ ref('int_assessment_spells') }}
    where completion_no = 1

),

final as (

    select
        referral_spells.la_code,
        referral_spells.child_id,
        referral_spells.referral_date,
        referral_spells.primary_need,
        referral_spells.is_nfa_at_referral,
        referral_spells.is_closed_after_assessment,
        case
            when referral_spells.is_nfa_at_referral
                then coalesce(referral_spells.closure_date, referral_spells.referral_date)
            when referral_spells.is_closed_after_assessment then referral_spells.closure_date
        end as nfa_date,
        lag(referral_spells.referral_date) over (
            partition by referral_spells.child_id order by referral_spells.referral_date
        ) as previous_referral_date,
        first_assessments.assessment_start as first_completed_assessment_start
    from referral_spells
    left join first_assessments
        on
            referral_spells.child_id = first_assessments.child_id
            and referral_spells.referral_date = first_assessments.referral_date

)

select * from final
