-- One row per unbroken run of days on which a child had an open referral: the union of
-- [referral_date, observed_until) over the child's referral spells. Runs are half-open and neither overlap nor touch;
-- a referral of no days adds none (definitions, section 3).

with
referral_spells as (

    select * from {{ ref('int_referral_spells') }}
    where observed_until > referral_date

),

referral_spells_with_earlier_ends as (

    select
        la_code,
        child_id,
        referral_date,
        observed_until,
        max(observed_until) over (
            partition by child_id
            order by referral_date
            rows between unbounded preceding and 1 preceding
        ) as latest_earlier_end
    from referral_spells

),

referral_spells_numbered_by_span as (

    select
        *,
        sum(case when latest_earlier_end >= referral_date then 0 else 1 end) over (
            partition by child_id
            order by referral_date
            rows between unbounded preceding and current row
        ) as span_no
    from referral_spells_with_earlier_ends

),

final as (

    select
        la_code,
        child_id,
        min(referral_date) as span_start,
        max(observed_until) as span_end
    from referral_spells_numbered_by_span
    group by la_code, child_id, span_no

)

select * from final
